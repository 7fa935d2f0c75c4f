import { type IndexUse, toIndexUses } from '../dialect'
import type { TableDefinition } from '../table-definition'

type Select = (sql: string, bindings: readonly unknown[]) => Promise<unknown[][]>

/** What may count the rows that are read through an index: a setting that switches it on, and a view of its counts. Both may be absent. */
const COUNTERS = [
  {
    setting: 'performance_schema',
    view: `SELECT object_schema AS table_schema, object_name AS table_name, index_name, count_read AS uses
      FROM performance_schema.table_io_waits_summary_by_index_usage`
  },
  { setting: 'userstat', view: 'SELECT table_schema, table_name, index_name, rows_read AS uses FROM information_schema.index_statistics' }
]

/** Returns the rows that were read through each index; undefined if nothing counts them, or this user may not see it. */
export async function countedUses(select: Select, { tableName, schemaName }: TableDefinition): Promise<IndexUse[] | undefined> {
  for (const { setting, view } of COUNTERS) {
    const uses = await select(
      `SELECT s.index_name, COALESCE(max(u.uses), 0) FROM information_schema.statistics AS s LEFT JOIN (${view}) AS u
         ON u.table_schema = s.table_schema AND u.table_name = s.table_name AND u.index_name = s.index_name
       WHERE @@GLOBAL.${setting} AND s.table_schema = COALESCE(?, DATABASE()) AND s.table_name = ?
       GROUP BY s.index_name ORDER BY s.index_name LIMIT 100`,
      [schemaName ?? null, tableName]
    ).catch(() => [])
    if (uses.length > 0) return toIndexUses(uses)
  }
  return undefined
}
