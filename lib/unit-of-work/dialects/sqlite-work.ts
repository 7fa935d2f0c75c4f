import type { Beginning, Wording } from '../transaction'
import type { WorkDialect } from './work-dialect'

/** SQLite. Its transactions are serializable, so whatever isolation is asked for is given. */
export const sqliteWork: WorkDialect = {
  name: 'SQLite',
  failureAborts: false,
  schemaChangesCommit: false,
  twoPhase: undefined,
  wording({ readOnly }: Beginning): Wording | undefined {
    if (!readOnly) return undefined
    const off = 'PRAGMA query_only = 0'
    return { begin: ['PRAGMA query_only = 1', 'BEGIN'], commit: [off, 'COMMIT'], rollback: [off, 'ROLLBACK'] }
  },
  async dropAll(knex) {
    await knex.transaction(
      async (trx) => {
        const rows: { type: string; name: string }[] = await trx('sqlite_master')
          .select('type', 'name')
          .whereIn('type', ['table', 'view'])
          .whereRaw("name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
        for (const { type, name } of rows) await trx.raw(`DROP ${type === 'view' ? 'VIEW' : 'TABLE'} IF EXISTS ??`, [name])
      },
      // Dropping a table deletes its rows, which other rows may refer to.
      { enforceForeignCheck: false }
    )
  }
}
