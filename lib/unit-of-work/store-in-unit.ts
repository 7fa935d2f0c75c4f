import type { Store } from 'express-session'
import type { Knex } from 'knex'
import { answer, type Callback } from '../calls/callbacks'
import { TransactionEndedError } from '../errors'
import { getOrMake } from '../runtime/get-or-make'
import { nothing } from '../runtime/nothing'
import { sharedByCopies } from './context'
import { AtomicSessionError, RollbackOnlyError } from './errors'
import { Scope } from './scope'
import type { ReadyStore, StoresInUnits } from './stores-in-units'
import { type Unit, unitOf } from './unit'

/** What a session store needs for `session: 'atomic'`. */
export interface TransactionalStore extends ReadyStore {
  /** Returns a store that writes in the transaction. It knows the sessions that this store has loaded. */
  withTransaction(trx: Knex.Transaction): object
}

type Method = (...args: unknown[]) => unknown
type AnyStore = Pick<Store, 'get' | 'set' | 'destroy'>

/** The calls of a store that run in the unit's transaction. These calls begin the transaction … */
const WRITES = ['set', 'touch', 'destroy', 'clear', 'destroyOwner', 'destroyHandle', 'destroyById']
/** … and these run in it only if it has begun. */
const OTHERS = ['get', 'all', 'ids', 'length', 'ofOwner', 'countOf', 'countByOwner', 'prune', 'ready', 'health']

const placed = sharedByCopies('placed stores', () => new WeakSet<object>())
const writers = sharedByCopies('writers', () => new WeakMap<Unit, WeakMap<TransactionalStore, Record<string, Method>>>())
/** For each store, the Knex clients whose units its own calls take part in. */
const brought = sharedByCopies('brought stores', () => new WeakMap<object, WeakSet<object>>())

/** True if the store was made by {@link storeInUnit}. */
export function isStoreInUnit(store: object): boolean {
  return placed.has(store)
}

/**
 * Returns a proxy of the store that writes in the transaction of the unit that `find` returns. Without a unit, and after its commit, the
 * proxy does what the store does. After a rollback it writes nothing.
 *
 * From now on, calls of the store itself also run in the unit of their code, if it is an open unit of `stores`.
 *
 * @throws {AtomicSessionError} for a store that cannot be in a transaction
 */
export function storeInUnit<Given extends AnyStore>(store: Given, find: () => Unit | undefined, stores: StoresInUnits): Given {
  if (!isTransactional(store)) {
    throw new AtomicSessionError(
      "session: 'atomic' needs a store that can write in a transaction; give session() a KnexSessionStore on the same database"
    )
  }
  stores.add(store)
  bring(store, stores)
  const own = methodsIn(store, find)
  own.regenerate = regenerateBy(store, own)
  const proxy = new Proxy(store, {
    get(target, key) {
      if (Object.hasOwn(own, key)) return own[key as string]
      const value: unknown = Reflect.get(target, key)
      // Bound to the store, because a proxy does not have its private fields.
      return typeof value === 'function' ? value.bind(target) : value
    }
  })
  placed.add(proxy)
  return proxy
}

function isTransactional<Given extends object>(store: Given): store is Given & TransactionalStore {
  return typeof (store as Partial<TransactionalStore>).withTransaction === 'function'
}

/** Replaces the methods of the store, so that its calls run in the open unit of their code. */
function bring(store: TransactionalStore, stores: StoresInUnits): void {
  let owners = brought.get(store)
  if (owners === undefined) {
    owners = new WeakSet()
    brought.set(store, owners)
  }
  if (owners.has(stores.owner)) return
  owners.add(stores.owner)
  const find = () => openUnit(unitOf(stores.current()))
  for (const [name, value] of Object.entries(methodsIn(store, find))) {
    Object.defineProperty(store, name, { value, configurable: true, writable: true })
  }
}

function methodsIn(store: TransactionalStore, find: () => Unit | undefined): Record<string, Method> {
  const methods: Record<string, Method> = {}
  for (const operation of [...WRITES, ...OTHERS]) {
    const outside = (store as unknown as Record<string, unknown>)[operation]
    if (typeof outside !== 'function') continue
    methods[operation] = (...args) => {
      const unit = find()
      if (unit === undefined || isThrough(unit) || (!unit.hasBegun && !WRITES.includes(operation)))
        return Reflect.apply(outside, store, args)
      const callback = typeof args.at(-1) === 'function' ? (args.pop() as Callback<unknown>) : undefined
      // If nothing awaits the error, it is not lost: the unit has failed, and its commit throws.
      return answer(unit.inProgress.addSessionWrite(perform(unit, store, operation, args)), callback, nothing)
    }
  }
  return methods
}

async function perform(unit: Unit, store: TransactionalStore, operation: string, args: unknown[]): Promise<unknown> {
  // The unit was rolled back, so the session must not be written either.
  if (unit.isOver) return null
  let trx: Knex.Transaction | undefined
  try {
    trx = await unit.begin(WRITES.includes(operation) ? 'write' : 'any')
    return await writerIn(trx, unit, store)[operation]?.(...args)
  } catch (error) {
    if (!unit.isOver) unit.stores.distrust(store)
    await unit.fail(error)
    const failure = trx && Scope.of(trx)?.failure
    // A statement of the application has failed before and ended the transaction. Its error is the cause, and perhaps nothing awaited it.
    throw failure && error instanceof TransactionEndedError ? new RollbackOnlyError(failure.cause) : error
  }
}

/** Replaces express-session's `regenerate`, which would call `destroy` of the store and not of the proxy. */
function regenerateBy(store: object, { destroy }: Record<string, Method>): Method {
  return (request, callback) =>
    void destroy?.((request as { sessionID: string }).sessionID, (error: unknown) => {
      ;(store as { generate(request: unknown): void }).generate(request)
      ;(callback as Callback<void>)(error)
    })
}

/** True if a call is not part of the unit any more, and the unit was not rolled back. */
function isThrough({ admits, state }: Unit): boolean {
  return !admits && state !== 'rolled back'
}

function openUnit(unit: Unit | undefined): Unit | undefined {
  return unit?.admits ? unit : undefined
}

function writerIn(trx: Knex.Transaction, unit: Unit, store: TransactionalStore): Record<string, Method> {
  const ofUnit = getOrMake(writers, unit, () => new WeakMap<TransactionalStore, Record<string, Method>>())
  return getOrMake(ofUnit, store, () => store.withTransaction(trx) as Record<string, Method>)
}
