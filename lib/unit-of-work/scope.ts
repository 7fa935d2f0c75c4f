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
  /** A failed statement undoes its whole scope at once, and nothing more is sent in it. */
  readonly failureIsFinal: boolean
  /** What a commit after a failure does: it is an error, or it does nothing, as in databases that abort the transaction. */
  readonly commitAfterFailure: 'refused' | 'empty'
  /** A statement that a nested rollback undoes by the way makes its own scope fail. */
  readonly bystandersFail: boolean
  /**
   * How a scope ends while transactions nested in it are open. `'at once'`: they are its own, and end with it. `'after nested'`: they
   * belong to other code on the same connection. Rolling back waits for them, and committing leaves the savepoint to them.
   */
  readonly ends: 'at once' | 'after nested'
  /** Each statement is undone alone if it fails, as it would be outside of a transaction. */
  readonly guardsStatements: boolean
  /** Throws for a statement that may not be sent. */
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
  /** Scopes that ran a statement meanwhile without being inside. Rolling back to the savepoint undoes these statements too. */
  readonly bystanders: Set<Scope>
}

/** What the scopes on one connection share. */
interface SharedByScopes {
  /** Sends one statement at a time. */
  readonly mutex: Mutex
  /** The innermost last. */
  readonly savepoints: OpenSavepoint[]
}

const scopes = sharedByCopies('scopes', () => new WeakMap<Knex.Transaction, Scope>())
const GUARD = 'knex_session_store_guard'
const READS = new Set(['select', 'first', 'pluck', 'columnInfo'])
const WRITES = new Set(['insert', 'update', 'del', 'truncate', 'counter', 'upsert'])

/** Said of a builder's or a statement's method; `raw` may do anything. */
export function isRead(method: string | undefined): boolean {
  return method !== undefined && READS.has(method)
}

/** The same for what changes rows. */
export function isWrite(method: string | undefined): boolean {
  return method !== undefined && WRITES.has(method)
}

/**
 * A Knex transaction, or one nested in it, that watches its statements. They go out one at a time: MySQL, having rolled back the victim
 * of a deadlock, runs the next statement of the connection outside of any transaction, so there must not be one waiting in the driver.
 */
export class Scope {
  /** Set when nothing may be sent any more; makes the error. */
  refusal: (() => Error) | undefined
  readonly #client: KnexClient
  readonly #query: KnexClient['query']
  readonly #nested = new Set<PromiseLike<unknown>>()
  #failure: { readonly cause: unknown } | undefined

  /** @param undo the statement that takes back a transaction whose COMMIT failed, if it can be open still */
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

  /** The scope that watches a transaction; where a test's transaction watches it too, that of the unit. */
  static of(trx: Knex.Transaction): Scope | undefined {
    return scopes.get(trx)
  }

  /** The failed statement that decides over this scope: its own, or that of one around it. */
  get failure(): { readonly cause: unknown } | undefined {
    return this.#failure ?? this.parent?.failure
  }

  private get mustWait(): boolean {
    return this.rules.ends === 'after nested' && this.#nested.size > 0
  }

  /** Takes back all that was done in this scope, and lets nothing more be sent; where its rules make failures final. */
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
      // A savepoint that is gone: the database has rolled back the whole transaction, as MySQL does on a deadlock.
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
        // A reader that stops early destroys the stream. Knex's promise does not hear of it.
        const closed = new Promise((resolve) => rows.once('close', resolve))
        let isTold = false
        rows.once('error', () => {
          isTold = true
        })
        try {
          await Promise.race([stream.call(client, connection, statement, rows, options), closed])
        } catch (error) {
          // If a stream cannot be made, Knex tells only the promise, and the reader would wait for ever.
          if (!isTold) rows.destroy(error as Error)
          throw error
        }
        await closed
      })
    // Not an arrow: SQLite's ALTER TABLE derives a client of its own from this one.
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
        // Releasing it would also release the savepoints inside it.
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

  /** BEGIN, COMMIT, SAVEPOINT and their kind, which Knex sends as strings. */
  async #control(connection: Connection, sql: string): Promise<unknown> {
    // Ended twice: Knex refuses, and nothing has gone wrong.
    if (this.trx.isCompleted()) return this.#query.call(this.#client, connection, sql)
    try {
      return await this.#query.call(this.#client, connection, sql)
    } catch (error) {
      if (this.parent) await this.parent.fail(error)
      // SQLite keeps a transaction open if its COMMIT fails, and Knex would give the connection back in this state.
      else if (this.undo !== undefined && sql !== this.undo) await this.#base(connection, this.undo)
      throw error
    }
  }

  #inTurn<T>(statement: KnexStatement, send: () => Promise<T>): Promise<T> {
    return this.shared.mutex.run(async () => {
      await this.#allow()
      this.rules.admit?.(statement)
      // Knex's own error for that, which is no failure of the statement.
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

  /** After a rollback to this scope's savepoint. */
  private async undone(): Promise<void> {
    const open = this.shared.savepoints.find(({ scope }) => scope === this)
    const bystanders = [...(open?.bystanders ?? [])]
    open?.bystanders.clear()
    for (const scope of bystanders) if (scope.rules.bystandersFail) await scope.fail(new UndoneByNestedError())
  }

  /** The savepoint is gone, and with it the savepoints inside. */
  private close(): void {
    const { savepoints } = this.shared
    const position = savepoints.findIndex(({ scope }) => scope === this)
    if (position < 0) return
    for (const { bystanders } of savepoints.splice(position + 1))
      for (const scope of bystanders) savepoints[position]?.bystanders.add(scope)
    savepoints.splice(position, 1)
  }

  /** The caller has the mutex. */
  async #send(sql: string): Promise<unknown> {
    return this.#query.call(this.#client, await this.#client.acquireConnection(), sql)
  }

  /** Also when the transaction is over for Knex. Best effort: what matters is the error that led here. */
  async #base(connection: Connection, sql: string): Promise<void> {
    const { query } = Object.getPrototypeOf(this.#client) as KnexClient
    await query.call(this.#client, connection, sql).catch(() => undefined)
  }
}
