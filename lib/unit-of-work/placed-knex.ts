import type { Knex } from 'knex'
import { type Connection, clientOf, type KnexClient, type KnexContainer, type KnexRunner, type RowStream } from '../knex/knex-client'
import { refusalAfterEnd } from '../knex/transaction-end'
import { currentFrame, emitWithin, sharedByCopies } from './context'
import type { Place } from './place'

/** What a placed Knex has in addition to a plain Knex. */
export interface Appearance {
  /** Given if the placed Knex stands for a transaction. Then `knex('t').transacting(it)` accepts it. */
  readonly end?: StandInEnd
  /** More properties. */
  readonly properties?: Readonly<Record<string, unknown>>
}

/** The end of the transaction that a placed Knex stands for. */
export interface StandInEnd {
  readonly isOver: () => boolean
  /** Makes the error for a call of a session store after the end. */
  readonly refusal: () => Error
}

const EMITTER = ['on', 'once', 'off', 'addListener', 'removeListener', 'prependListener', 'removeAllListeners', 'listeners', 'emit']

/**
 * Makes a Knex like `knex` (callable, with `raw`, `schema`, `select`, `transaction` and all the rest). A builder calls `place` when it is
 * awaited, and runs there. Listeners on it are listeners on `knex`.
 */
export function placedKnex(knex: Knex, place: () => Place, appearance: Appearance): Knex {
  const client = placedClient(clientOf(knex), place, appearance.end !== undefined)
  return shape(knex, client, appearance)
}

function shape(knex: Knex, client: KnexClient, appearance: Appearance, userParams?: unknown): Knex {
  const { end, properties } = appearance
  const context = Object.create((knex as unknown as { context: object }).context) as Record<string, unknown>
  const placed = (table?: unknown, options?: unknown) =>
    table ? placedContext.queryBuilder().table(table, options) : placedContext.queryBuilder()
  const placedContext = Object.assign(context, {
    client,
    withUserParams: (params: unknown) => shape(knex, client, appearance, params)
  }) as unknown as { queryBuilder(): { table(name: unknown, options: unknown): unknown } }
  if (userParams !== undefined) context.userParams = userParams
  Object.setPrototypeOf(placed, knex)
  // Objection.js stores bound models on the Knex instance. The models of `knex` would be found on the placed Knex too, and run outside of
  // it.
  const hidden = { context, $$objection: undefined }
  for (const [key, value] of Object.entries(hidden)) Object.defineProperty(placed, key, { value, writable: true, configurable: true })
  // Enumerable, because `.transacting()` would take it for an empty object.
  const shown = { isTransaction: end !== undefined, ...(end && { isCompleted: end.isOver }), ...bound(knex, EMITTER), ...properties }
  for (const [key, value] of Object.entries(shown))
    Object.defineProperty(placed, key, { value, writable: true, configurable: true, enumerable: true })
  if (end) Object.defineProperty(placed, refusalAfterEnd, { value: end.refusal })
  return placed as unknown as Knex
}

function placedClient(base: KnexClient, place: () => Place, transacting: boolean): KnexClient {
  const own: Partial<KnexClient> = {
    transacting,
    runner(this: KnexClient, builder: object) {
      return placedRunner(this.config === base.config ? sameConfig : withConfig(this.config), place, builder)
    },
    transaction: ((container: KnexContainer, config?: object) => inPlace(place, (here) => here.transaction(container, config))) as never,
    acquireConnection: () => inPlace(place, (here) => here.acquireConnection()),
    releaseConnection: (connection: Connection) => inPlace(place, (here) => here.releaseConnection(connection))
  }
  const client: KnexClient = Object.assign(Object.create(base), bound(base, [...EMITTER, 'destroy', 'initialize', 'initializePool']), own)
  bases.set(client, nativeClient(base))
  return client
}

const bases = sharedByCopies('bases', () => new WeakMap<KnexClient, KnexClient>())

/** Returns the client that Knex made, for a client of a placed Knex. */
export function nativeClient(client: KnexClient): KnexClient {
  return bases.get(client) ?? client
}

/** Async, so that an error of `place` is a rejection and not a throw: statements reject too. */
async function inPlace<T>(place: () => Place, use: (here: Place) => Promise<T>): Promise<T> {
  return use(place())
}

type View = (client: KnexClient) => KnexClient

const sameConfig: View = (client) => client

/** Serves code that derives a client with another configuration from a placed client, as the session store does. */
function withConfig(config: Knex.Config): View {
  return (client) => Object.create(client, { config: { value: config } })
}

function placedRunner(view: View, place: () => Place, builder: object): KnexRunner {
  const runnerOn = (client: KnexClient): KnexRunner => {
    const seen = view(client)
    // A copy of the builder runs. The builder itself does not change, because it may be awaited again in another place.
    return seen.runner(Object.create(builder, { client: { value: seen, writable: true } }))
  }
  const stream = (...args: unknown[]) => {
    const here = place()
    const watch = (rows: RowStream) => {
      const frame = currentFrame()
      if (frame) emitWithin(rows, frame)
      here.streamed(rows)
      return rows
    }
    const handler = args.findIndex((argument) => typeof argument === 'function')
    if (handler < 0) return watch(runnerOn(here.streamClient()).stream(...args) as RowStream)
    const handle = args[handler] as (rows: RowStream) => void
    return runnerOn(here.streamClient()).stream(...args.with(handler, (rows: RowStream) => handle(watch(rows))))
  }
  return {
    run: () => inPlace(place, (here) => here.run((client) => runnerOn(client).run(), (builder as { _method?: string })._method)),
    stream,
    pipe: (writable, options) => (stream(options) as RowStream).pipe(writable)
  }
}

function bound(target: object, names: readonly string[]): Record<string, unknown> {
  const methods = target as Record<string, unknown>
  return Object.fromEntries(names.flatMap((name) => (typeof methods[name] === 'function' ? [[name, methods[name].bind(target)]] : [])))
}
