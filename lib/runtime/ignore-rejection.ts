import { types } from 'node:util'

/**
 * Handles the rejection of a promise that nothing waits for. A function of the application may be async although it should return a plain
 * value or nothing. Its rejection would end the process. A thenable that is not a promise is left alone: a query of Knex would run if its
 * `then` was called.
 */
export function ignoreRejection(returned: unknown, onRejected: (reason: unknown) => void = () => undefined): void {
  if (types.isPromise(returned)) returned.catch(onRejected)
}
