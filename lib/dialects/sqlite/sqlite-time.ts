import { HOUR_MS } from '../../record/expiry-columns'

/** The clock of the database, in milliseconds since the epoch. */
export const NOW = "CAST(unixepoch('subsec') * 1000 AS INTEGER)"

/** Makes a binding a whole number. The driver binds every number as a real number, and the division of a real number gives a fraction. */
export const GIVEN = 'CAST(? AS INTEGER)'

/** The hour of a moment, rounded up. */
export function hourAt(moment: string): string {
  return `(${moment} + ${HOUR_MS - 1}) / ${HOUR_MS}`
}
