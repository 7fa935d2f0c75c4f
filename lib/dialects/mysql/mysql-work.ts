import type { Knex } from 'knex'
import type { Beginning, Preparation, PreparedTransaction, TwoPhase, Wording, WorkDialect } from '../work-dialect'

/** Error numbers of MySQL and MariaDB. */
const XAER_NOTA = 1397
const XAER_DUPID = 1440
/** MariaDB's error for the commit of a prepared transaction that wrote nothing. */
const XA_RBROLLBACK = 1402

const LOCK_WAIT_SECONDS = 5

const twoPhase: TwoPhase = {
  needsXidToBegin: true,
  setting: 'XA',
  prepare(xid: string, knex: Knex): Preparation {
    return { statements: [`XA END '${xid}'`, `XA PREPARE '${xid}'`], detach: (trx) => detach(trx, knex) }
  },
  commitPrepared: (xid) => `XA COMMIT '${xid}'`,
  rollbackPrepared: (xid) => `XA ROLLBACK '${xid}'`,
  async recover(knex: Knex): Promise<PreparedTransaction[]> {
    const [rows] = await knex.raw<{ data: Buffer | string }[][]>('XA RECOVER')
    return (rows ?? []).map(({ data }) => ({ xid: data.toString(), preparedAt: undefined }))
  },
  diagnose(error) {
    const { errno } = error as { errno?: unknown }
    if (errno === XAER_NOTA) return 'unknown'
    if (errno === XA_RBROLLBACK) return 'empty'
    return errno === XAER_DUPID ? 'taken' : 'other'
  }
}

/** MySQL and MariaDB. */
export const mysqlWork: WorkDialect = {
  name: 'MySQL or MariaDB',
  failureAborts: false,
  schemaChangesCommit: true,
  hasOneWriter: false,
  twoPhase,
  wording({ isolation, readOnly, xid }: Beginning): Wording | undefined {
    if (isolation === undefined && !readOnly && xid === undefined) return undefined
    const level = isolation === 'snapshot' ? 'repeatable read' : isolation
    const modes = [level ? `ISOLATION LEVEL ${level.toUpperCase()}` : '', readOnly ? 'READ ONLY' : ''].filter(Boolean)
    const set = modes.length > 0 ? [`SET TRANSACTION ${modes.join(', ')}`] : []
    if (xid !== undefined) {
      const end = `XA END '${xid}'`
      return {
        begin: [...set, `XA START '${xid}'`],
        commit: [end, `XA COMMIT '${xid}' ONE PHASE`],
        rollback: [end, `XA ROLLBACK '${xid}'`]
      }
    }
    const start = isolation === 'snapshot' ? 'START TRANSACTION WITH CONSISTENT SNAPSHOT' : 'BEGIN'
    return { begin: [...set, start], commit: ['COMMIT'], rollback: ['ROLLBACK'] }
  },
  async dropAll(knex) {
    await knex.transaction(async (trx) => {
      // The setting applies to the whole connection. It is set back below, because the pool gives the connection to others afterwards.
      await trx.raw('SET SESSION foreign_key_checks = 0, lock_wait_timeout = ?', [LOCK_WAIT_SECONDS])
      try {
        const [rows] = await trx.raw<{ kind: string; name: string }[][]>(
          `SELECT IF(table_type = 'VIEW', 'VIEW', 'TABLE') AS kind, table_name AS name
           FROM information_schema.tables WHERE table_schema = DATABASE()`
        )
        for (const { kind, name } of rows ?? []) await trx.raw(`DROP ${kind} IF EXISTS ??`, [name])
      } finally {
        await trx.raw('SET SESSION foreign_key_checks = DEFAULT, lock_wait_timeout = DEFAULT')
      }
    })
  }
}

/**
 * While a connection is open, no other connection can finish a transaction that it has prepared, on MariaDB and on MySQL before 8.0.29. The
 * server notices late that the connection has closed. Between two looks, the wait is a SLEEP on the server.
 */
async function detach(trx: Knex.Transaction, knex: Knex): Promise<() => Promise<void>> {
  const [rows] = await trx.raw<{ id: number }[][]>('SELECT CONNECTION_ID() AS id')
  const id = rows?.[0]?.id ?? 0
  return async () => {
    for (;;) {
      const [alive] = await knex.raw<unknown[][]>('SELECT id FROM information_schema.processlist WHERE id = ?', [id])
      if (!alive?.length) return
      await knex.raw('DO SLEEP(0.01)')
    }
  }
}
