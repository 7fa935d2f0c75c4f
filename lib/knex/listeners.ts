import type { Knex } from 'knex'
import type { KnexClient } from './knex-client'

/** What Knex emits about a statement. */
const EVENTS = ['start', 'query', 'query-response', 'query-error'] as const

interface Emitter {
  listenerCount(event: string): number
}

/** A transaction as Knex represents it: what `knex.transaction()` returns. */
interface KnexTransaction extends Emitter {
  readonly client: KnexClient
  readonly transactor: Knex.Transaction
  readonly outerTx: KnexTransaction | null
}

/** The Knex of each client that belongs to no transaction, if a store was made with this Knex. */
const knexOfClient = new WeakMap<KnexClient, Knex>()

/**
 * Tells whether anything listens to the events of a Knex's statements. Knex passes each event on from the client to the Knex, and from a
 * transaction to the Knex or transaction on which it was begun. A tool that has wrapped the function by which Knex runs statements also
 * listens.
 */
export class Listeners {
  /** The emitters, and how many listeners of each are Knex's own: these pass events on. */
  private readonly emitters: (readonly [emitter: Emitter, own: number])[] = []
  /** False if Knex does not tell on what a transaction was begun. */
  private areAllKnown = true
  /** The object with the function by which Knex runs statements. */
  private readonly runner: { readonly query?: unknown }

  constructor(knex: Knex) {
    const client = knex.client as KnexClient
    this.runner = Object.getPrototypeOf(client.runner({}))
    if (client.transacting === true) this.addTransaction(knex, transactionOf(knex))
    else {
      knexOfClient.set(client, knex)
      this.addRoot(client)
    }
  }

  /** True if there may be a listener. */
  get areThere(): boolean {
    if (!this.areAllKnown || isWrapped(this.runner.query)) return true
    for (const [emitter, own] of this.emitters) {
      for (const event of EVENTS) if (emitter.listenerCount(event) > own) return true
    }
    return false
  }

  private addRoot(client: KnexClient): void {
    const knex = knexOfClient.get(client)
    if (knex === undefined) this.areAllKnown = false
    else this.emitters.push([knex, 0], [client as unknown as Emitter, 1])
  }

  private addTransaction(trx: Knex, transaction: KnexTransaction | undefined): void {
    if (transaction === undefined) {
      this.areAllKnown = false
      return
    }
    this.emitters.push([trx, 0], [trx.client, 2], [transaction, 0])
    const { outerTx, client } = transaction
    if (client.transacting !== true) this.addRoot(client)
    else this.addTransaction(outerTx?.transactor ?? trx, outerTx ?? undefined)
  }
}

/** True for a function that replaces another one. OpenTelemetry's instrumentations and many other tools mark such functions. */
function isWrapped(value: unknown): boolean {
  return typeof value === 'function' && '__wrapped' in value
}

/** Returns Knex's transaction for the `trx` that its function was given. Each transaction that is begun in it names it as its outer one. */
function transactionOf(trx: Knex): KnexTransaction | undefined {
  const { context } = trx as unknown as { context?: { transaction?(): unknown } }
  const client = { transaction: (_work: unknown, _config: unknown, outer: unknown) => outer }
  const asked = Object.create(context ?? null, { client: { value: client } }) as { transaction?(work: () => void): unknown }
  const transaction = asked.transaction?.(() => undefined) as Partial<KnexTransaction> | undefined | null
  const isKnown = transaction?.client !== undefined && typeof transaction.listenerCount === 'function'
  return isKnown ? (transaction as KnexTransaction) : undefined
}
