import { EARLIEST_EXPIRY } from '../record/expiry-columns'
import type { SessionRecords } from '../record/session-records'
import { monotonicNow } from '../runtime/natives'

/** What `store.health()` returns. */
export interface SessionStoreHealth {
  /** Whether sessions can be read and written now. */
  readonly ok: boolean
  /** The name of the database system. */
  readonly dialect: string
  /** How long the check took, in milliseconds. */
  readonly latencyMs: number
  /** Why `ok` is false. */
  readonly error?: Error
}

/** No session has this stored id. */
const PROBE_ID = 'knex-session-store:health'

/**
 * Reads and touches a session that does not exist, so it tests reading and writing without changing anything. In a transaction it only
 * reads, because a refused write would abort the transaction.
 */
export async function probe(records: SessionRecords, isTransaction: boolean): Promise<void> {
  await records.load(PROBE_ID)
  if (!isTransaction) await records.touch({ id: PROBE_ID, expiresAt: EARLIEST_EXPIRY })
}

/** Turns the result of the probe into what `store.health()` returns. Never rejects. */
export async function healthOf(dialect: string, probing: () => Promise<void>): Promise<SessionStoreHealth> {
  const start = monotonicNow()
  try {
    await probing()
    return { ok: true, dialect, latencyMs: monotonicNow() - start }
  } catch (error) {
    return { ok: false, dialect, latencyMs: monotonicNow() - start, error: error as Error }
  }
}
