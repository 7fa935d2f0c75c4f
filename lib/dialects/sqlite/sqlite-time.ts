import { HOUR_MS } from '../../record/expiry-columns'

/** The clock of the database, in milliseconds since the epoch. */
export const NOW = "CAST(unixepoch('subsec') * 1000 AS INTEGER)"

/** A binding that is a whole number. The driver binds every number as a real, and a real is divided into a fraction. */
export const GIVEN = 'CAST(? AS INTEGER)'

/** The hour of a moment, rounded up. */
export function hourAt(moment: string): string {
  return `(${moment} + ${HOUR_MS - 1}) / ${HOUR_MS}`
}
