import type { Connection } from '../../knex/knex-client'
import { monotonicNow } from '../../runtime/natives'
import type { Beginning, Wording, WorkDialect } from '../work-dialect'
import { BusyTimeout } from './busy-timeout'
import type { DirectConnection } from './direct-connection'
import { isLockError, pauseAfter } from './lock-queue'

/**
 * SQLite. Its transactions are serializable, so they satisfy every isolation level.
 *
 * A unit whose first statement writes takes the lock with BEGIN, and waits for it there without stopping the process. A driver that waits
 * in a statement would stop the very thread that gives the lock back. A unit that reads first takes the lock with its first write, as plain
 * Knex does. So it does not stop other units from writing until then. COMMIT waits in the same way, for readers of a file that is not in
 * WAL mode.
 */
export const sqliteWork: WorkDialect = {
  name: 'SQLite',
  failureAborts: false,
  schemaChangesCommit: false,
  hasOneWriter: true,
  twoPhase: undefined,
  wording({ readOnly, intent }: Beginning): Wording | undefined {
    if (!readOnly) {
      const begin = intent === 'write' ? 'BEGIN IMMEDIATE' : 'BEGIN'
      return { begin: [begin], commit: ['COMMIT'], rollback: ['ROLLBACK'], patiently: withoutStopping }
    }
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
      // To drop a table deletes its rows, and other rows may refer to them.
      { enforceForeignCheck: false }
    )
  }
}

/**
 * Sends the statement again and again while another connection holds the lock, for as long as the application lets a statement wait for a
 * lock.
 */
async function withoutStopping(connection: Connection, send: () => Promise<unknown>): Promise<unknown> {
  // Other drivers wait in a thread of their own.
  if (!isDirect(connection)) return send()
  const since = monotonicNow()
  return BusyTimeout.of(connection).withoutUntil(async (ms) => {
    for (let tries = 1; ; tries++) {
      try {
        return await send()
      } catch (error) {
        if (!isLockError(error) || monotonicNow() - since >= ms) throw error
      }
      await pauseAfter(tries)
    }
  })
}

function isDirect(connection: Connection): connection is DirectConnection {
  return 'inTransaction' in connection
}
