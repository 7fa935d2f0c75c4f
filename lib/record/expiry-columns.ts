/*
 * What the columns `expires_at` and `expires_hour` hold.
 *
 * | expires_at | the row is |
 * | --- | --- |
 * | in the future | that of a live session |
 * | in the past, from EARLIEST_EXPIRY on | that of a session that has expired; it stays until it is pruned |
 * | DESTROYED | that of a session that was destroyed, or the lease of pruning: dead, and with data `{}` |
 * | negative | that of a session that moves from its plain id to its hash: dead under this id, and the moment is kept |
 *
 * `expires_hour` is `expires_at` rounded up to the hour, and indexed: pruning looks for rows by it. An index on `expires_at` itself would
 * change with every touch, and PostgreSQL could not do touches as HOT updates.
 */

/** The expiry of a session that was destroyed. */
export const DESTROYED = 0

/** The earliest moment that a session can expire at. */
export const EARLIEST_EXPIRY = 1

/** The latest moment that fits the column of hours, a 32-bit integer, and JavaScript's Date: in the year 246953. */
export const LATEST_EXPIRY = 2_147_483_647 * 3_600_000

/** Milliseconds. */
export const HOUR_MS = 3_600_000

/** The hour of a row that pruning never looks at. */
export const NEVER_PRUNED = 2_147_483_647

/** The hour of a moment, rounded up. */
export function hourOf(moment: number): number {
  return Math.ceil(moment / HOUR_MS)
}

/** The expiry of a session that moves to another id: dead, and the moment can be read from it. */
export function moving(expiresAt: number): number {
  return -expiresAt
}

/** Whether the session under this expiry moves to another id. */
export function isMoving(expiresAt: number): boolean {
  return expiresAt < 0
}
