import type { Store } from 'express-session'

type Method = (...args: unknown[]) => unknown

/** Makes a store break its promises, each in a way that the runner has to find. */
const FAULTS: Record<string, (store: Record<string, Method>) => void> = {
  /** Some writes are acknowledged and not written: enough of them, also where a slow machine makes few. */
  'loses sets': (store) => replace(store, 'set', (set, args, time) => (time % 20 === 0 ? answer(args) : set(...args))),
  'loses touches': (store) => replace(store, 'touch', (_touch, args) => answer(args)),
  'loses destroys': (store) => replace(store, 'destroy', (destroy, args, time) => (time % 3 === 0 ? answer(args) : destroy(...args))),
  /** Two early ones of each process, so that the reads of the audit come back. */
  'swallows callbacks': (store) => replace(store, 'get', (get, args, time) => (time === 40 || time === 80 ? undefined : get(...args))),
  /** Early, so that it is not the audit that ends the process. */
  crashes: (store) =>
    replace(store, 'get', (get, args, time) => {
      if (time === 80) setImmediate(() => Promise.reject(new Error('nothing catches this')))
      return get(...args)
    }),
  /** What is loaded is forgotten: a save overwrites what others have changed, and brings back what has ended. */
  overwrites: (store) => replace(store, 'set', (set, [sid, session, callback]) => set(sid, JSON.parse(JSON.stringify(session)), callback))
}

export function breakStore(store: Store, faults: readonly string[]): void {
  for (const fault of faults) FAULTS[fault]?.(store as unknown as Record<string, Method>)
}

function replace(store: Record<string, Method>, name: string, replacement: (original: Method, args: unknown[], time: number) => unknown) {
  const original = (store[name] as Method).bind(store)
  let time = 0
  store[name] = (...args) => replacement(original, args, ++time)
}

function answer(args: readonly unknown[]): void {
  setImmediate(args.at(-1) as () => void)
}
