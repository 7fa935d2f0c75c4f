/** A value, or a promise of it. */
export type Soon<T> = T | Promise<T>

/** Does not use instanceof: under Jest the promises of Node's own modules belong to another realm. */
export function isPromiseLike<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof (value as { then?: unknown } | null)?.then === 'function'
}

/**
 * Returns what `next` makes of the value. If the value is there, `next` runs at once, because a turn of the promise queue costs as much as
 * small work does.
 */
export function passOn<T, Next>(value: Soon<T>, next: (value: T) => Soon<Next>): Soon<Next> {
  return isPromiseLike(value) ? value.then(next) : next(value)
}
