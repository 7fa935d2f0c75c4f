import type { EventEmitter } from 'node:events'
import { isOurs, QueryListenerError } from '../errors'
import type { Connection, KnexClient } from './knex-client'

/** A statement as it is given to Knex. */
export interface KnexStatement {
  readonly sql: string
  readonly bindings: readonly unknown[]
  /** Passed through to the driver. */
  readonly options?: Readonly<Record<string, unknown>>
}

/** Knex's form of a statement, which is emitted with each of its events. */
interface CompiledStatement {
  readonly sql: string
  readonly bindings: readonly unknown[]
}

/** What `knex.raw()` returns, as far as it is used here. */
interface Builder extends EventEmitter, PromiseLike<unknown> {
  sql: string
  bindings: unknown
  options(driver: object): this
  connection(connection: object): this
  toSQL(): CompiledStatement
  /** Returns the statement with its bindings put in. */
  toQuery(): string
}

/**
 * Runs a statement exactly as `knex.raw()` does, so every listener gets exactly what Knex emits. But `postProcessResponse` of the
 * application does not see the result.
 */
export async function runAsKnex(client: KnexClient, connection: Connection, statement: KnexStatement): Promise<unknown> {
  try {
    return await builderOf(watched(client), statement).connection(connection)
  } catch (error) {
    throw asListenerError(error)
  }
}

/**
 * Emits the events of a statement that does not go through Knex, as Knex would emit them. If a listener throws an error, each of these
 * methods throws a {@link QueryListenerError}.
 */
export class StatementEvents {
  private readonly builder: Builder
  private readonly compiled: CompiledStatement

  /** Emits that the statement begins. */
  constructor(
    private readonly client: KnexClient,
    private readonly connection: Connection,
    statement: KnexStatement
  ) {
    this.builder = builderOf(client, statement)
    emit([client, this.builder], 'start', this.builder)
    this.compiled = Object.assign(this.builder.toSQL(), { queryContext: undefined })
    emit([this.builder, client], 'query', this.details)
  }

  /** Emits the response in the form in which Knex gives it, with the other fields that Knex notes. */
  succeeded(response: unknown, notes: object = {}): void {
    Object.assign(this.compiled, { response }, notes)
    emit([this.builder, this.client], 'query-response', response, this.details, this.builder)
    emit([this.builder], 'end')
  }

  /** Emits the driver's error. Before that, it puts the statement in front of the error's message, as Knex does. */
  failed(error: Error): void {
    const { compileSqlOnError } = this.client.config as { compileSqlOnError?: boolean }
    error.message = `${compileSqlOnError === false ? this.compiled.sql : this.builder.toQuery()} - ${error.message}`
    emit([this.client, this.builder], 'query-error', error, this.details)
    if (this.builder.listenerCount('error') > 0) emit([this.builder], 'error', error)
  }

  private get details(): object {
    const { __knexUid, __knexTxId } = this.connection
    return { __knexUid, __knexTxId, ...this.compiled }
  }
}

/**
 * Does `work`, in which the statement begins, divides or ends a transaction. Emits the events that Knex emits for such a statement: without
 * an id, and without a response.
 */
export function tellOfControl(client: KnexClient, { __knexUid, __knexTxId }: Connection, sql: string, work: () => void): void {
  const details = { __knexUid, __knexTxId, sql, bindings: undefined }
  emit([client], 'query', details)
  try {
    work()
  } catch (error) {
    ;(error as Error).message = `${sql} - ${(error as Error).message}`
    emit([client], 'query-error', error, details)
    throw error
  }
}

/** An id that no other statement and no transaction has. */
export function uniqueId(client: KnexClient): string {
  return String((builderOf(client, { sql: '', bindings: [] }).toSQL() as { __knexQueryUid?: string }).__knexQueryUid)
}

/** Returns the error of a call, if a listener of its statement threw an error. Returns any other error as it is. */
export function asListenerError(error: unknown): unknown {
  // A driver throws nothing but objects.
  const isListeners = typeof error !== 'object' || error === null || thrownByListener.has(error)
  return isListeners && !isOurs(error) ? new QueryListenerError(error) : error
}

/**
 * Knex's client, which also remembers the errors that listeners threw. Knex gives such an error as the outcome of the statement, and it
 * would look like an error of the driver.
 */
export function watched(client: KnexClient): KnexClient {
  const own: PropertyDescriptorMap = {
    postProcessResponse: { value: (response: unknown) => response },
    // Knex's own runner. A replaced one, as in a unit of work, would look for a connection and wait for its turn.
    runner: { value: (client.constructor as { prototype: KnexClient }).prototype.runner }
  }
  if (client.transacting !== true) return Object.create(client, { ...own, emit: { value: rememberingEmit(client) } })
  // Statements in a transaction emit on the transaction's own client, whatever client they are given.
  if (!watchedTransactions.has(client)) {
    watchedTransactions.add(client)
    client.emit = rememberingEmit(client)
  }
  return Object.create(client, own)
}

const watchedTransactions = new WeakSet<KnexClient>()
const thrownByListener = new WeakSet<object>()

function rememberingEmit(client: KnexClient): KnexClient['emit'] {
  const emit = client.emit.bind(client)
  return (event, ...values) => {
    try {
      return emit(event, ...values)
    } catch (error) {
      // A listener of `query-error` may throw the very error that it was given.
      if (typeof error === 'object' && error !== null && error !== values[0]) thrownByListener.add(error)
      throw error
    }
  }
}

function emit(emitters: readonly Pick<EventEmitter, 'emit'>[], event: string, ...values: unknown[]): void {
  try {
    for (const emitter of emitters) emitter.emit(event, ...values)
  } catch (error) {
    throw error === values[0] ? error : new QueryListenerError(error)
  }
}

/** Compiled by Knex, but without text and bindings, in which Knex would search for its own placeholders. */
function builderOf(client: KnexClient, { sql, bindings, options = {} }: KnexStatement): Builder {
  const builder = client.raw('').options(options) as unknown as Builder
  const compile = builder.toSQL
  builder.toSQL = () => Object.assign(compile.call(builder), { sql, bindings })
  builder.sql = sql
  return builder
}
