import { randomBytes } from 'node:crypto'
import { lifetimeMs, makeSession, seededRandom } from './session.mjs'

/** Grows with every session written: no two writes are the same, so no store may leave one out. */
let views = 100_000

/** Operations after which none of the stores was seen to become faster any more. */
const enoughToCompile = 60_000

/**
 * What one caller does again and again. `caller.session` belongs to it alone: a store may encode it later than `set` returns.
 * Mixes do what express-session does: the loaded data becomes a Session through `createSession`, then it is touched or changed and saved.
 */
export const operations = {
  get: async (bench) => {
    await get(bench, bench.pick())
  },
  touch: async (bench, caller) => {
    await call(bench.store, 'touch', bench.pick(), renew(caller.session))
  },
  set: async (bench, caller) => {
    await call(bench.store, 'set', bench.pick(), change(caller.session))
  },
  'get+touch': async (bench) => {
    const id = bench.pick()
    const session = await load(bench, id)
    await call(bench.store, 'touch', id, session.touch())
  },
  'get+set': async (bench) => {
    const id = bench.pick()
    const session = await load(bench, id)
    session.touch().views = ++views
    await call(bench.store, 'set', id, session)
  },
  /** Passport's login: the old session goes, the new one is saved at once and again at the end of the request. */
  login: async (bench, caller) => {
    await call(bench.store, 'destroy', caller.ownId)
    caller.ownId = randomBytes(16).toString('hex')
    await call(bench.store, 'set', caller.ownId, change(caller.session))
    await call(bench.store, 'set', caller.ownId, change(caller.session))
  }
}

/** A store to measure: `ids` are those in its table, an array or what has `length` and `at`, `bytes` is the size of a session that is set, `more` are operations of this store alone. */
export function makeBench(store, ids, bytes, more = {}) {
  const random = seededRandom(ids.length)
  return { store, bytes, operations: more, callers: [], pick: () => ids.at(Math.floor(random() * ids.length)) }
}

/** One of the concurrent callers: a session to write, and an id that no other caller uses. */
export function makeCaller(bytes, index) {
  return { session: makeSession(bytes, index + 1), ownId: `caller-${index}` }
}

/**
 * Before a round: young garbage is collected, and the engine gets to know the work again. Not a full collection: where no session is alive
 * it would throw away the code that was compiled for sessions, and the round would measure how fast that is compiled again.
 */
export async function warmUp(bench, cell) {
  globalThis.gc?.({ type: 'minor' })
  await measure(bench, { ...cell, seconds: cell.seconds / 2 })
}

/**
 * Before the first round: until the engine has compiled the operation, which takes it tens of thousands of calls, or `seconds` have passed. With
 * one caller that is seconds, in which every store is slower than it will ever be again, and whoever has more JavaScript is more so.
 */
export async function warmUpOnce(bench, { op, callers, seconds }) {
  const end = performance.now() + seconds * 1000
  for (let operations = 0; operations < enoughToCompile && performance.now() < end; ) {
    operations += (await measure(bench, { op, callers, seconds: Math.min(seconds, 0.2) })).operations
  }
}

/**
 * A closed loop: `callers` callers, each with one operation under way, for `seconds`. Every operation started is waited for and counted.
 * Latencies are in milliseconds, CPU is this process's, in microseconds an operation.
 */
export async function measure(bench, { op, callers, seconds }) {
  const operation = operations[op] ?? bench.operations[op]
  const latencies = new Samples()
  while (bench.callers.length < callers) bench.callers.push(makeCaller(bench.bytes, bench.callers.length))
  const cpu = process.cpuUsage()
  const start = performance.now()
  const end = start + seconds * 1000
  await Promise.all(
    bench.callers.slice(0, callers).map(async (caller) => {
      for (let now = performance.now(); now < end; ) {
        await operation(bench, caller)
        const then = now
        now = performance.now()
        latencies.add(now - then)
      }
    })
  )
  const elapsedMs = performance.now() - start
  const { user, system } = process.cpuUsage(cpu)
  const sorted = latencies.sorted()
  return {
    operations: sorted.length,
    perSecond: (sorted.length / elapsedMs) * 1000,
    p50: quantile(sorted, 0.5),
    p99: quantile(sorted, 0.99),
    nodeCpu: (user + system) / sorted.length
  }
}

/** Puts rows in through the store's own `set`, many at once. */
export async function preload(store, ids, bytes) {
  let next = 0
  await Promise.all(
    Array.from({ length: 64 }, async (_, index) => {
      const session = makeSession(bytes, index + 1)
      while (next < ids.length) await call(store, 'set', ids[next++], session)
    })
  )
}

function get(bench, id) {
  return new Promise((resolve, reject) => {
    bench.store.get(id, (error, data) => {
      if (data) resolve(data)
      else reject(error ?? new Error('a preloaded session was not found'))
    })
  })
}

async function load(bench, id) {
  const data = await get(bench, id)
  return bench.store.createSession({ sessionID: id, sessionStore: bench.store }, data)
}

function call(store, method, ...args) {
  return new Promise((resolve, reject) => {
    store[method](...args, (error) => (error ? reject(error) : resolve()))
  })
}

/** Moves the expiry as a request does, to a lifetime from now: further ahead than what any earlier operation stored. */
function renew(session) {
  session.cookie.expires = new Date(Date.now() + lifetimeMs)
  return session
}

function change(session) {
  session.views = ++views
  return renew(session)
}

class Samples {
  #values = new Float64Array(1 << 16)
  #length = 0

  add(value) {
    if (this.#length === this.#values.length) {
      const larger = new Float64Array(this.#length * 2)
      larger.set(this.#values)
      this.#values = larger
    }
    this.#values[this.#length++] = value
  }

  sorted() {
    return this.#values.slice(0, this.#length).sort()
  }
}

export function quantile(sorted, part) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0
}
