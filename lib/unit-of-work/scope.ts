import type { Knex } from 'knex'
import {
  type Connection,
  clientOf,
  type KnexClient,
  type KnexContainer,
  type KnexStatement,
  type KnexTransaction
} from '../knex/knex-client'
import { Mutex } from '../runtime/mutex'
import { sharedByCopies } from './context'
import { RollbackOnlyError, UndoneByNestedError } from './errors'

/** The rules for the statements of a scope. */
export interface ScopeRules {
  /** True if a failed statement rolls back its whole scope at once, and nothing more is sent in the scope. */
  readonly failureIsFinal: boolean
  /**
   * What a commit after a failure does. `'refused'`: it throws. `'empty'`: it commits nothing, as in databases that abort the transaction.
   */
  readonly commitAfterFailure: 'refused' | 'empty'
  /** True if a scope fails when a rollback to another scope's savepoint undoes one of its statements. */
  readonly bystandersFail: boolean
  /**
   * How a scope ends while nested transactions are open. `'at once'`: the nested transactions end with it. `'after nested'`: they belong to
   * other code on the same connection. Then a rollback waits for them, and a commit does not release the savepoint.
   */
  readonly ends: 'at once' | 'after nested'
  /** True if a failed statement undoes only itself, as outside of a transaction. */
  readonly guardsStatements: boolean
  /** Throws if the statement may not be sent. */
  readonly admit?: (statement: KnexStatement) => void
  readonly nested: ScopeRules
}

/** The rules of a unit of work. */
export const UNIT_RULES: ScopeRules = {
  failureIsFinal: true,
  commitAfterFailure: 'refused',
  bystandersFail: true,
  ends: 'at once',
  guardsStatements: false,
  get nested() {
    return UNIT_RULES
  }
}

/** A savepoint that is open on the connection. */
interface OpenSavepoint {
  readonly scope: Scope
  /** Scopes outside of the savepoint that ran a statement after it. A rollback to the savepoint undoes these statements too. */
  readonly bystanders: Set<Scope>
}

/** What the scopes on one connection share. */
interface SharedByScopes {
  /** Sends one statement at a time. */
  readonly mutex: Mutex
  /** The open savepoints, the innermost last. */
  readonly savepoints: OpenSavepoint[]
}

const scopes = sharedByCopies('scopes', () => new WeakMap<Knex.Transaction, Scope>())
const GUARD = 'knex_session_store_guard'
const READS = new Set(['select', 'first', 'pluck', 'columnInfo'])
const WRITES = new Set(['insert', 'update', 'del', 'truncate', 'counter', 'upsert'])

/** True if the method of a builder or a statement only reads. `raw` may do anything, so it is false for `raw`. */
export function isRead(method: string | undefined): boolean {
  return method !== undefined && READS.has(method)
}

/** True if the method changes rows. False for `raw` too. */
export function isWrite(method: string | undefined): boolean {
  return method !== undefined && WRITES.has(method)
}

/**
 * Watches the statements of a Knex transaction, or of a savepoint in one. They are sent one at a time. MySQL rolls back the victim of a
 * deadlock and then runs the next statement of the connection outside of any transaction. So no statement may wait in the driver.
 */
export class Scope {
  /** Makes the error for statements that come too late. Undefined while statements may be sent. */
  refusal: (() => Error) | undefined
  readonly #client: KnexClient
  readonly #query: KnexClient['query']
  readonly #nested = new Set<PromiseLike<unknown>>()
  #failure: { readonly cause: unknown } | undefined

  /** @param undo the statement that rolls back after a failed COMMIT; undefined for a savepoint, and if other code ends the transaction */
  constructor(
    readonly trx: Knex.Transaction,
    readonly rules: ScopeRules,
    private readonly undo?: string,
    private readonly shared: SharedByScopes = { mutex: new Mutex(), savepoints: [] },
    readonly parent?: Scope,
    private readonly savepoint?: string
  ) {
    this.#client = clientOf(trx)
    this.#query = this.#client.query
    this.#watch()
    scopes.set(trx, this)
  }

  /** Returns the scope that watches a transaction. If a test's transaction watches it too, returns the scope of the unit. */
  static of(trx: Knex.Transaction): Scope | undefined {
    return scopes.get(trx)
  }

  /** The failure of this scope, or of a scope around it. */
  get failure(): { readonly cause: unknown } | undefined {
    return this.#failure ?? this.parent?.failure
  }

  private get mustWait(): boolean {
    return this.rules.ends === 'after nested' && this.#nested.size > 0
  }

  /** If the rules make failures final, rolls back this scope. Nothing more is sent in it then. */
  async fail(cause: unknown): Promise<void> {
    if (this.failure || !this.rules.failureIsFinal) return
    this.#failure = { cause }
    if (this.savepoint === undefined) {
      await this.trx.rollback()
      return
    }
    try {
      await this.#send(`ROLLBACK TO SAVEPOINT ${this.savepoint}`)
    } catch (error) {
      // The savepoint is gone because the database has rolled back the whole transaction, as MySQL does after a deadlock.
      await this.parent?.fail(error)
    }
    await this.undone()
  }

  #watch(): void {
    const client = this.#client
    const scope = this
    const { stream, transaction } = client
    client.query = (connection, statement) => {
      if (typeof statement === 'string') return this.#control(connection, statement)
      return this.#inTurn(statement, () => this.#query.call(client, connection, statement))
    }
    client.stream = (connection, statement, rows, options) =>
      this.#inTurn(statement, async () => {
        // A reader that stops early destroys the stream, and then the promise of Knex never settles.
        const closed = new Promise((resolve) => rows.once('close', resolve))
        let isTold = false
        rows.once('error', () => {
          isTold = true
        })
        try {
          await Promise.race([stream.call(client, connection, statement, rows, options), closed])
        } catch (error) {
          // If the stream cannot begin, Knex rejects only the promise. Without this, the reader would wait for ever.
          if (!isTold) rows.destroy(error as Error)
          throw error
        }
        await closed
      })
    // Not an arrow function, because `this` may be another client: for ALTER TABLE on SQLite, Knex derives one from this client.
    client.transaction = function (this: KnexClient, container, config, outer) {
      return scope.#nest((watched) => transaction.call(this, watched, config, outer), container)
    }
  }

  #nest(begin: (container: KnexContainer) => KnexTransaction, container: KnexContainer): KnexTransaction {
    const { mutex, savepoints } = this.shared
    let child: Scope | undefined
    const transaction = begin((trx) => {
      child = new Scope(trx, this.rules.nested, undefined, this.shared, this, transaction.txid)
      savepoints.push({ scope: child, bystanders: new Set() })
      return container(trx)
    })
    const { savepoint, release, rollbackTo } = transaction
    transaction.savepoint = (connection) => mutex.run(() => this.#allow().then(() => savepoint.call(transaction, connection)))
    transaction.release = async (connection, value) => {
      const failure = child?.failure
      if (failure && this.rules.nested.commitAfterFailure === 'refused') {
        return transaction.rollbackTo(connection, new RollbackOnlyError(failure.cause))
      }
      return mutex.run(async () => {
        // RELEASE would also release the savepoints inside.
        if (child?.mustWait) return transaction.query(connection, 'SELECT 1', 1, value)
        child?.close()
        return release.call(transaction, connection, value)
      })
    }
    transaction.rollbackTo = async (connection, error) => {
      while (child?.mustWait) await Promise.allSettled(child.#nested)
      return mutex.run(async () => {
        const result = await rollbackTo.call(transaction, connection, error)
        await child?.undone()
        child?.close()
        return result
      })
    }
    const ended = () => void this.#nested.delete(transaction)
    this.#nested.add(transaction)
    transaction.then(ended, ended)
    return transaction
  }

  /** Sends BEGIN, COMMIT, SAVEPOINT and similar statements, which Knex gives as strings. */
  async #control(connection: Connection, sql: string): Promise<unknown> {
    // The transaction is ended a second time. Knex refuses this, and it is no failure of the transaction.
    if (this.trx.isCompleted()) return this.#query.call(this.#client, connection, sql)
    try {
      return await this.#query.call(this.#client, connection, sql)
    } catch (error) {
      if (this.parent) await this.parent.fail(error)
      // On SQLite the transaction stays open if its COMMIT fails, and Knex would give the connection back to the pool in this state.
      else if (this.undo !== undefined && sql !== this.undo) await this.#base(connection, this.undo)
      throw error
    }
  }

  #inTurn<T>(statement: KnexStatement, send: () => Promise<T>): Promise<T> {
    return this.shared.mutex.run(async () => {
      await this.#allow()
      this.rules.admit?.(statement)
      // Knex throws its own error then, and no statement has failed.
      if (this.trx.isCompleted()) return send()
      this.#noteBystander(statement)
      if (this.rules.guardsStatements) return this.#guarded(send)
      try {
        return await send()
      } catch (error) {
        await this.fail(error)
        throw error
      }
    })
  }

  async #guarded<T>(send: () => Promise<T>): Promise<T> {
    await this.#send(`SAVEPOINT ${GUARD}`)
    try {
      return await send()
    } catch (error) {
      await this.#send(`ROLLBACK TO SAVEPOINT ${GUARD}`)
      throw error
    } finally {
      await this.#send(`RELEASE SAVEPOINT ${GUARD}`)
    }
  }

  async #allow(): Promise<void> {
    for (let scope: Scope | undefined = this; scope; scope = scope.parent) if (scope.refusal) throw scope.refusal()
    if (this.failure) throw new RollbackOnlyError(this.failure.cause)
  }

  #noteBystander({ method }: KnexStatement): void {
    if (isRead(method)) return
    for (const { scope, bystanders } of this.shared.savepoints) if (!this.isWithin(scope)) bystanders.add(this)
  }

  private isWithin(other: Scope): boolean {
    return this === other || (this.parent?.isWithin(other) ?? false)
  }

  /** Called after a rollback to the savepoint of this scope. */
  private async undone(): Promise<void> {
    const open = this.shared.savepoints.find(({ scope }) => scope === this)
    const bystanders = [...(open?.bystanders ?? [])]
    open?.bystanders.clear()
    for (const scope of bystanders) if (scope.rules.bystandersFail) await scope.fail(new UndoneByNestedError())
  }

  /** Called when the savepoint of this scope is gone, and with it the savepoints inside. */
  private close(): void {
    const { savepoints } = this.shared
    const position = savepoints.findIndex(({ scope }) => scope === this)
    if (position < 0) return
    for (const { bystanders } of savepoints.splice(position + 1))
      for (const scope of bystanders) savepoints[position]?.bystanders.add(scope)
    savepoints.splice(position, 1)
  }

  /** Sends a statement. The caller must have the mutex. */
  async #send(sql: string): Promise<unknown> {
    return this.#query.call(this.#client, await this.#client.acquireConnection(), sql)
  }

  /** Sends a statement even if the transaction is over for Knex. Ignores a failure, because the caller throws the error that came first. */
  async #base(connection: Connection, sql: string): Promise<void> {
    const { query } = Object.getPrototypeOf(this.#client) as KnexClient
    await query.call(this.#client, connection, sql).catch(() => undefined)
  }
}
