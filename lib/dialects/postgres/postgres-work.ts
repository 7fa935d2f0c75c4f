import type { Knex } from 'knex'
import type { Beginning, PreparedTransaction, TwoPhase, Wording, WorkDialect } from '../work-dialect'

/** Error codes of PostgreSQL. */
const OBJECT_NOT_IN_PREREQUISITE_STATE = '55000'
const UNDEFINED_OBJECT = '42704'
const DUPLICATE_OBJECT = '42710'

const LOCK_TIMEOUT = '5s'

const twoPhase: TwoPhase = {
  needsXidToBegin: false,
  setting: 'max_prepared_transactions',
  prepare: (xid) => ({ statements: [`PREPARE TRANSACTION '${xid}'`] }),
  commitPrepared: (xid) => `COMMIT PREPARED '${xid}'`,
  rollbackPrepared: (xid) => `ROLLBACK PREPARED '${xid}'`,
  async recover(knex: Knex): Promise<PreparedTransaction[]> {
    const { rows } = await knex.raw(
      'SELECT gid AS xid, prepared AS "preparedAt" FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared'
    )
    return rows
  },
  diagnose(error) {
    const { code } = error as { code?: unknown }
    if (code === OBJECT_NOT_IN_PREREQUISITE_STATE) return 'disabled'
    if (code === UNDEFINED_OBJECT) return 'unknown'
    return code === DUPLICATE_OBJECT ? 'taken' : 'other'
  }
}

/** PostgreSQL. */
export const postgresWork: WorkDialect = {
  name: 'PostgreSQL',
  failureAborts: true,
  schemaChangesCommit: false,
  hasOneWriter: false,
  twoPhase,
  wording({ isolation, readOnly }: Beginning): Wording | undefined {
    if (isolation === undefined && !readOnly) return undefined
    // The level that other databases call snapshot.
    const level = isolation === 'snapshot' ? 'repeatable read' : isolation
    const modes = [level ? `ISOLATION LEVEL ${level.toUpperCase()}` : '', readOnly ? 'READ ONLY' : ''].filter(Boolean)
    return { begin: [`BEGIN TRANSACTION ${modes.join(' ')}`], commit: ['COMMIT'], rollback: ['ROLLBACK'] }
  },
  dropAll: (knex) =>
    knex.transaction(async (trx) => {
      // Without this, a transaction that nobody ends would make the statement wait for ever.
      await trx.raw(`SET LOCAL lock_timeout = '${LOCK_TIMEOUT}'`)
      const { rows } = await trx.raw<{ rows: { kind: string; name: string }[] }>(
        `SELECT CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, relname AS name
         FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
           AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype IN ('e', 'i', 'a') AND relkind = 'S')`
      )
      for (const { kind, name } of rows) await trx.raw(`DROP ${kind === 'TABLE' ? 'TABLE' : kind} IF EXISTS ?? CASCADE`, [name])
    })
}
