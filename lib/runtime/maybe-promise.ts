/**
 * A value, or a promise of it. To wait for a promise costs a turn of the promise queue. So a promise is made only where something is waited
 * for: SQLite on better-sqlite3 has its result at once, because its driver is synchronous; the default codec has its text at once; a
 * connection may be at hand. Everything else is an async function.
 */
export type MaybePromise<T> = T | Promise<T>

/** Does not use instanceof: under Jest the promises of Node's own modules belong to another realm. */
export function isPromiseLike<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function'
}

/**
 * Returns what `next` makes of the value. If the value is there, `next` runs at once, because a turn of the promise queue costs as much as
 * small work does.
 */
export function andThen<T, Next>(value: MaybePromise<T>, next: (value: T) => MaybePromise<Next>): MaybePromise<Next> {
  return isPromiseLike(value) ? value.then(next) : next(value)
}
