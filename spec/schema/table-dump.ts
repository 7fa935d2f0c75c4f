import type { Knex } from 'knex'
import type { DatabaseName } from '../support/databases'

/** Everything the database knows of a table's layout, as text: two tables made alike have the same dump. '' if there is none. */
export async function dumpTable(database: DatabaseName, knex: Knex, tableName = 'sessions'): Promise<string> {
  return (await DUMPS[database](knex, tableName)).join('\n')
}

const DUMPS: Readonly<Record<DatabaseName, (knex: Knex, tableName: string) => Promise<string[]>>> = {
  async sqlite(knex, tableName) {
    const rows = await knex.raw('SELECT type, name, tbl_name, sql FROM sqlite_master WHERE tbl_name = ? ORDER BY type, name', [tableName])
    return rows.map((row: object) => JSON.stringify(row))
  },
  async postgres(knex, tableName) {
    const { rows } = await knex.raw(
      `WITH t AS (SELECT * FROM pg_class WHERE relname = ? AND relkind = 'r')
       SELECT concat_ws(' ', 'table', t.relnamespace::regnamespace, t.relpersistence, t.reloptions, pg_get_userbyid(t.relowner)) AS line,
           0 AS position FROM t
       UNION ALL
       SELECT concat_ws(' ', 'column', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, co.collname,
           a.attstorage, to_jsonb(a) ->> 'attcompression', pg_get_expr(d.adbin, d.adrelid)), a.attnum
         FROM t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0
         LEFT JOIN pg_collation co ON co.oid = a.attcollation
         LEFT JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = a.attnum
       UNION ALL
       SELECT concat_ws(' ', 'constraint', c.conname, pg_get_constraintdef(c.oid)), 100 FROM t JOIN pg_constraint c ON c.conrelid = t.oid
       UNION ALL
       SELECT pg_get_indexdef(i.indexrelid), 200 FROM t JOIN pg_index i ON i.indrelid = t.oid
       UNION ALL
       SELECT concat_ws(' ', 'trigger', g.tgname), 300 FROM t JOIN pg_trigger g ON g.tgrelid = t.oid
       ORDER BY position, line`,
      [tableName]
    )
    return rows.map(({ line }: { line: string }) => line)
  },
  mysql: async (knex, tableName) => created((await ifThere(knex.raw('SHOW CREATE TABLE ??', [tableName])))?.[0]),
  cockroach: async (knex, tableName) => created((await ifThere(knex.raw('SHOW CREATE TABLE ??', [tableName])))?.rows)
}

async function ifThere<T>(answer: PromiseLike<T>): Promise<T | undefined> {
  try {
    return await answer
  } catch (error) {
    if (['ER_NO_SUCH_TABLE', 'ER_BAD_DB_ERROR', '42P01'].includes((error as { code: string }).code)) return undefined
    throw error
  }
}

function created(rows: readonly object[] = []): string[] {
  return rows.map((row) => Object.values(row).join('\n'))
}
