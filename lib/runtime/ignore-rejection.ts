import { types } from 'node:util'

/**
 * Handles the rejection of a promise that nothing waits for. A function of the application may be async although a plain value, or nothing,
 * is expected, and its rejection would end the process. A thenable that is no promise is left alone: a query of Knex would run.
 */
export function ignoreRejection(returned: unknown, onRejected: (reason: unknown) => void = () => undefined): void {
  if (types.isPromise(returned)) returned.catch(onRejected)
}
