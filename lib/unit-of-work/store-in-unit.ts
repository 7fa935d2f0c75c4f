import type { SessionData, Store } from 'express-session'
import type { Knex } from 'knex'
import { answer, type Callback } from '../callbacks'
import { AtomicSessionError } from './errors'
import type { Unit } from './unit'

/** What `session: 'atomic'` asks of a session store. */
export interface TransactionalStore {
  /** The store, writing in that transaction, and knowing the sessions that this store has loaded. */
  withTransaction(trx: Knex.Transaction): SessionWriter
  /** Sees to it that the table is there. */
  ready?(): Promise<void>
}

/** What is called on a store in a transaction. */
export interface SessionWriter {
  get(sessionId: string): Promise<SessionData | null>
  set(sessionId: string, session: SessionData): Promise<unknown>
  touch(sessionId: string, session: SessionData): Promise<unknown>
  destroy(sessionId: string): Promise<unknown>
}

type Operation = keyof SessionWriter
type AnyStore = Pick<Store, 'get' | 'set' | 'destroy'>

const placed = new WeakSet<object>()
const writers = new WeakMap<Unit, SessionWriter>()

/** True for a store made here. */
export function isStoreInUnit(store: object): boolean {
  return placed.has(store)
}

/**
 * The store, writing in the transaction of the unit that `find` gives. After that is committed, and where there is none, it is the store itself;
 * after it was rolled back nothing is written.
 *
 * @throws {AtomicSessionError} for a store that cannot be in a transaction.
 */
export function storeInUnit<Given extends AnyStore>(store: Given, find: () => Unit | undefined): Given {
  if (typeof (store as Partial<TransactionalStore>).withTransaction !== 'function') {
    throw new AtomicSessionError(
      "session: 'atomic' needs a store that can be in a transaction, that is a KnexSessionStore of the same database"
    )
  }
  const own = inUnit(store as Given & TransactionalStore, find)
  const proxy = new Proxy(store, {
    get(target, key) {
      if (Object.hasOwn(own, key)) return own[key as keyof typeof own]
      const value: unknown = Reflect.get(target, key)
      // On the store itself, whose private fields a proxy does not have.
      return typeof value === 'function' ? value.bind(target) : value
    }
  })
  placed.add(proxy)
  return proxy
}

function inUnit(store: AnyStore & TransactionalStore, find: () => Unit | undefined) {
  const call = (operation: Operation, args: unknown[]): unknown => {
    const callback = typeof args.at(-1) === 'function' ? (args.pop() as Callback<unknown>) : undefined
    const unit = find()
    if (unit === undefined || isThrough(unit) || (operation === 'get' && !unit.hasBegun)) {
      return Reflect.apply(store[operation as 'set'], store, callback ? [...args, callback] : args)
    }
    return answer(perform(unit, operation, args), callback, ignore)
  }
  const perform = async (unit: Unit, operation: Operation, args: unknown[]): Promise<unknown> => {
    // The session shares the fate of the data.
    if (unit.isOver) return null
    try {
      return await (await writerOf(unit, store))[operation](...(args as [string, SessionData]))
    } catch (error) {
      await unit.fail(error)
      throw error
    }
  }
  return {
    get: (...args: unknown[]) => call('get', args),
    set: (...args: unknown[]) => call('set', args),
    touch: (...args: unknown[]) => call('touch', args),
    destroy: (...args: unknown[]) => call('destroy', args),
    // express-session's own calls `this.destroy`.
    regenerate(request: { sessionID: string }, callback: Callback<void>) {
      call('destroy', [
        request.sessionID,
        (error: unknown) => {
          ;(store as unknown as { generate(request: object): void }).generate(request)
          callback(error)
        }
      ])
    }
  }
}

/** What comes now is no part of the unit, and was not taken back with it. */
function isThrough({ state }: Unit): boolean {
  return state !== 'open' && state !== 'rolled back'
}

async function writerOf(unit: Unit, store: TransactionalStore): Promise<SessionWriter> {
  let writer = writers.get(unit)
  if (writer === undefined) {
    // Where making the table would commit the transaction, it is made outside; no statement if it was seen before.
    if (unit.schemaChangesCommit) await store.ready?.()
    writer = store.withTransaction(await unit.begin())
    writers.set(unit, writer)
  }
  return writer
}

function ignore(): void {
  // Without a callback, and not awaited: it has made the unit fail, and that is seen when the unit is to be committed.
}
