import type { Knex } from 'knex'
import type { Preparation, Wording } from '../dialects/work-dialect'
import { clientOf, type KnexClient, type KnexTransaction } from '../knex/knex-client'
import { nothing } from '../runtime/nothing'

/** A transaction that was begun and has an end to come. */
export interface OpenTransaction {
  readonly trx: Knex.Transaction
  /** Settles when it has ended, however. */
  readonly ended: Promise<void>
  /** What takes it back after a COMMIT that failed. */
  readonly undo: string | undefined
  commit(): Promise<void>
  rollback(): Promise<void>
  /** Ends it by other statements than COMMIT. */
  prepare(preparation: Preparation): Promise<void>
}

/** Begins a transaction, or a savepoint where `knex` is a transaction itself. Without `wording` it is worded by Knex. */
export async function beginTransaction(knex: Knex, wording: Wording | undefined, config: object = {}): Promise<OpenTransaction> {
  let transaction: KnexTransaction | undefined
  const trx = await new Promise<Knex.Transaction>((resolve, reject) => {
    transaction = knex.transaction((begun) => resolve(begun), config) as unknown as KnexTransaction
    transaction.catch(reject)
    if (wording && isReal(transaction)) reword(transaction, wording)
  })
  // A BEGIN that fails gives a transaction too, one that is over.
  if (trx.isCompleted()) await trx.executionPromise
  return new KnexBacked(trx, transaction && isReal(transaction) ? transaction : undefined, wording)
}

/** Makes an OpenTransaction of a transaction that other code begins and ends. */
export function adoptTransaction(trx: Knex.Transaction): OpenTransaction {
  return new KnexBacked(trx, undefined, undefined)
}

class KnexBacked implements OpenTransaction {
  readonly ended: Promise<void>
  readonly undo: string | undefined

  constructor(
    readonly trx: Knex.Transaction,
    private readonly transaction: KnexTransaction | undefined,
    private readonly wording: Wording | undefined
  ) {
    // Only that it has ended matters.
    this.ended = trx.executionPromise.then(nothing, nothing)
    // A savepoint is taken back with what surrounds it.
    this.undo = transaction && !trx.parentTransaction ? (wording?.rollback.at(-1) ?? 'ROLLBACK') : undefined
  }

  async commit(): Promise<void> {
    await this.trx.commit()
    // The promise of commit() is fulfilled also when COMMIT fails.
    await this.trx.executionPromise
  }

  async rollback(): Promise<void> {
    await this.trx.rollback()
  }

  async prepare({ statements, detach }: Preparation): Promise<void> {
    if (detach === undefined) {
      if (this.transaction) reword(this.transaction, { ...KNEX, ...this.wording, commit: statements })
      return this.commit()
    }
    const client = clientOf(this.trx)
    const connection = await client.acquireConnection()
    const isGone = await detach(this.trx)
    for (const sql of statements) await client.query(connection, sql)
    await client.destroyRawConnection(connection)
    // For Knex, which gives the closed connection back to the pool; the server hears nothing of it.
    await this.rollback()
    await isGone()
  }
}

const KNEX: Wording = { begin: ['BEGIN;'], commit: ['COMMIT;'], rollback: ['ROLLBACK'] }

/** Knex gives the very object that runs the transaction where it is asked for one with a function, and has not begun it yet. */
function isReal(transaction: KnexTransaction): boolean {
  return typeof transaction.begin === 'function' && typeof transaction.query === 'function'
}

function reword(transaction: KnexTransaction, { begin, commit, rollback, patiently }: Wording): void {
  const client = () => transaction.trxClient
  transaction.begin = async (connection) => {
    if (patiently === undefined) for (const sql of begin) await transaction.query(connection, sql)
    // By the client: a failure would end the transaction, and here it may be tried again.
    else for (const sql of begin) await patiently(connection, () => client().query(connection, sql))
  }
  transaction.commit = async (connection, value) => {
    for (const sql of commit.slice(0, -1)) await client().query(connection, sql)
    const last = commit.at(-1) ?? ''
    if (patiently === undefined) return transaction.query(connection, last, 1, value)
    return withQuery(client(), transaction.query.bind(transaction, connection, last, 1, value), async (send) => {
      try {
        return await patiently(connection, () => send(last))
      } catch (error) {
        await send(rollback.at(-1) ?? '').catch(nothing)
        throw error
      }
    })
  }
  transaction.rollback = async (connection, error) => {
    // These statements fail only if there is nothing left to end.
    for (const sql of rollback.slice(0, -1)) await client().query(connection, sql).catch(nothing)
    return transaction.query(connection, rollback.at(-1) ?? '', 2, error)
  }
}

/**
 * Runs `work`, whose one statement is sent by `query`. That is given what sends a statement past the scope that watches the client: the scope
 * would take a COMMIT that failed for the end of the transaction, and undo it, but it can be tried again.
 */
async function withQuery(
  client: KnexClient,
  work: () => Promise<unknown>,
  query: (send: (sql: string) => Promise<unknown>) => Promise<unknown>
): Promise<unknown> {
  const { query: watched } = client
  const { query: unwatched } = Object.getPrototypeOf(client) as KnexClient
  client.query = (connection) => query((sql) => unwatched.call(client, connection, sql))
  try {
    return await work()
  } finally {
    client.query = watched
  }
}
