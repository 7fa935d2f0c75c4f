import { afterPoll } from './natives'

/** Lets the event loop run once. If the database is in this process, other calls would get no turn otherwise. */
export function takeTurns(): Promise<void> {
  return new Promise(afterPoll)
}
