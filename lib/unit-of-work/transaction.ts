import type { Knex } from 'knex'
import type { Preparation, Wording } from '../dialects/work-dialect'
import { clientOf, type KnexClient, type KnexTransaction } from '../knex/knex-client'
import { nothing } from '../runtime/nothing'

/** A transaction that has begun and not ended. */
export interface OpenTransaction {
  readonly trx: Knex.Transaction
  /** Resolves when the transaction has ended, in whatever way. */
  readonly ended: Promise<void>
  /** The statement that rolls back after a failed COMMIT. */
  readonly undo: string | undefined
  commit(): Promise<void>
  rollback(): Promise<void>
  /** Ends the transaction by the statements of a two-phase commit in place of COMMIT. */
  prepare(preparation: Preparation): Promise<void>
}

/** Begins a transaction, or a savepoint if `knex` is a transaction. Without `wording`, the statements are those of Knex. */
export async function beginTransaction(knex: Knex, wording: Wording | undefined, config: object = {}): Promise<OpenTransaction> {
  let transaction: KnexTransaction | undefined
  const trx = await new Promise<Knex.Transaction>((resolve, reject) => {
    transaction = knex.transaction((begun) => resolve(begun), config) as unknown as KnexTransaction
    transaction.catch(reject)
    if (wording && isReal(transaction)) reword(transaction, wording)
  })
  // If BEGIN fails, Knex still gives a transaction, but it is over.
  if (trx.isCompleted()) await trx.executionPromise
  return new KnexBacked(trx, transaction && isReal(transaction) ? transaction : undefined, wording)
}

/** Returns an OpenTransaction for a transaction that other code begins and ends. */
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
    // It does not matter how it has ended.
    this.ended = trx.executionPromise.then(nothing, nothing)
    // A savepoint needs no statement: it is rolled back with the transaction around it.
    this.undo = transaction && !trx.parentTransaction ? (wording?.rollback.at(-1) ?? 'ROLLBACK') : undefined
  }

  async commit(): Promise<void> {
    await this.trx.commit()
    // The promise of commit() is also fulfilled when COMMIT fails.
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
    // Knex has to end its transaction, and gives the closed connection back to the pool. Nothing is sent to the server.
    await this.rollback()
    await isGone()
  }
}

const KNEX: Wording = { begin: ['BEGIN;'], commit: ['COMMIT;'], rollback: ['ROLLBACK'] }

/** True if this object runs the transaction. Knex returns such an object, before it has begun, for a transaction with a function. */
function isReal(transaction: KnexTransaction): boolean {
  return typeof transaction.begin === 'function' && typeof transaction.query === 'function'
}

function reword(transaction: KnexTransaction, { begin, commit, rollback, patiently }: Wording): void {
  const client = () => transaction.trxClient
  transaction.begin = async (connection) => {
    if (patiently === undefined) for (const sql of begin) await transaction.query(connection, sql)
    // Sent by the client, not by the transaction: a failure there would end the transaction, but BEGIN may be tried again.
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
    // These statements fail only if nothing is left to roll back.
    for (const sql of rollback.slice(0, -1)) await client().query(connection, sql).catch(nothing)
    return transaction.query(connection, rollback.at(-1) ?? '', 2, error)
  }
}

/**
 * Runs `work`, and lets `query` send the one statement of `work`. `query` gets a function that bypasses the scope which watches the client.
 * The scope would roll back after a failed COMMIT, but the COMMIT can be tried again.
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
