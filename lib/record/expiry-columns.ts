/*
 * What the columns `expires_at` and `expires_hour` hold.
 *
 * | expires_at | the row is |
 * | --- | --- |
 * | in the future | a live session |
 * | in the past, from EARLIEST_EXPIRY on | an expired session; the row stays until it is pruned |
 * | DESTROYED | a destroyed session, the lease of pruning, or the mark of a log-out everywhere: dead |
 * | negative | a session that moves from its plain id to its hash: dead under this id; the absolute value is its expiry |
 *
 * `expires_hour` is `expires_at` rounded up to the hour, and indexed: pruning looks for rows by it. An index on `expires_at` itself would
 * change with every touch, and PostgreSQL could not do touches as HOT updates.
 */

/** The expiry of a session that was destroyed. */
export const DESTROYED = 0

/** The earliest moment that a session can expire at. */
export const EARLIEST_EXPIRY = 1

/** An hour, in milliseconds. */
export const HOUR_MS = 3_600_000

/** The `expires_hour` of a row that is never pruned: the largest 32-bit integer. */
export const NEVER_PRUNED = 2_147_483_647

/** The latest moment that fits both `expires_hour`, a 32-bit integer, and JavaScript's Date: in the year 246953. */
export const LATEST_EXPIRY = NEVER_PRUNED * HOUR_MS

/** The hour of a moment, rounded up. */
export function hourOf(moment: number): number {
  return Math.ceil(moment / HOUR_MS)
}

/** The value of `expires_at` for a session that moves to another id: dead, and the expiry can be read back from it. */
export function moving(expiresAt: number): number {
  return -expiresAt
}

/** True if a session with this `expires_at` moves to another id. */
export function isMoving(expiresAt: number): boolean {
  return expiresAt < 0
}
