import type { Store } from 'express-session'

type Call = (...args: unknown[]) => unknown

/** Counts the callbacks that a store owes, and those that it calls more than once. */
export class CallWatch {
  waiting = 0
  twice = 0

  constructor(store: Store) {
    const methods = store as unknown as Record<string, Call | undefined>
    for (const name of ['get', 'set', 'touch', 'destroy']) {
      const original = methods[name]?.bind(store)
      if (original) methods[name] = (...args) => original(...this.#watched(args))
    }
  }

  #watched(args: unknown[]): unknown[] {
    const callback = args.at(-1)
    if (typeof callback !== 'function') return args
    this.waiting++
    let called = false
    const counted: Call = (...results) => {
      if (called) this.twice++
      else this.waiting--
      called = true
      return (callback as Call)(...results)
    }
    return [...args.slice(0, -1), counted]
  }
}
