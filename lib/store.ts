import { type Session, type SessionData, Store } from 'express-session'
import type { Knex } from 'knex'
import { assemble, type Parts } from './assemble'
import { bindMethods } from './calls/bind-methods'
import { type Callback, withinTime } from './calls/callbacks'
import { CallDeadlines } from './calls/caller'
import { Deadlines } from './calls/deadlines'
import { StoreCalls } from './calls/store-calls'
import type { SessionStoreEvents } from './events'
import { refuseEnded, requireTransaction } from './knex/transaction-end'
import { Waits } from './knex/waits'
import { Announcer } from './observe/announcer'
import type { SessionStoreStatistics } from './observe/statistics'
import { type KnexSessionStoreOptions, type ResolvedOptions, resolveOptions } from './options/store-options'
import { Revisions } from './record/revisions'
import { healthOf, probe, type SessionStoreHealth } from './sessions/health'
import type { DestroyOwnerOptions, OfOwnerOptions, OwnedSession, OwnerId } from './sessions/owners'
import { forgetAll, RESET } from './sessions/reset'
import { type SessionServices, sessionServices } from './sessions/session-services'
import { requestBegins, watchGenerate } from './sessions/sign-ins'
import { pruneAll } from './table/pruner'

/** The methods that clients take off their store. */
const DETACHED = ['get', 'set', 'touch', 'destroy', 'all', 'ids', 'length', 'clear'] as const

export interface KnexSessionStore {
  /** Adds a listener for an event of {@link SessionStoreEvents}. */
  on<Name extends keyof SessionStoreEvents>(event: Name, listener: (...event: SessionStoreEvents[Name]) => void): this
  // biome-ignore lint/suspicious/noExplicitAny: the signature of EventEmitter
  on(event: string | symbol, listener: (...args: any[]) => void): this
  /** The same for the next event alone. */
  once<Name extends keyof SessionStoreEvents>(event: Name, listener: (...event: SessionStoreEvents[Name]) => void): this
  // biome-ignore lint/suspicious/noExplicitAny: the signature of EventEmitter
  once(event: string | symbol, listener: (...args: any[]) => void): this
}

/**
 * A store for express-session (and its relatives) in a SQL database, through the application's own Knex.
 *
 * The constructor checks its options and does nothing else: no I/O, no timer. The store makes the table on first use if it is missing. Make one
 * store for each application, as often as you like: stores of one Knex and table share what is costly.
 *
 * Each method gives one result within `timeoutMs`: to the callback if there is one, else by the promise that it returns. Every error extends
 * {@link SessionStoreError}.
 *
 * @example
 * import session from 'express-session'
 * import knex from 'knex'
 * import { KnexSessionStore } from 'knex-session-store'
 *
 * const db = knex({ client: 'pg', connection: process.env.DATABASE_URL ?? 'postgres://localhost/app' })
 * app.use(session({ store: new KnexSessionStore({ knex: db }), secret, resave: false, saveUninitialized: false }))
 */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: see above
export class KnexSessionStore extends Store {
  private readonly given: KnexSessionStoreOptions
  private readonly options: ResolvedOptions
  private readonly parts: Parts
  private readonly revisions: Revisions
  private readonly services: SessionServices
  private readonly calls: StoreCalls
  private readonly stepDeadlines: Deadlines
  private createsSessions = false
  private readonly announcer = new Announcer((name, ...event) => this.emit(name, ...event))

  /**
   * @throws {InvalidOptionError} {@link UnknownOptionError} if an option is wrong
   * @throws {UnsupportedDatabaseError} if the Knex is of another database
   * @throws {SchemaConflictError} if the table is already registered with another definition
   */
  constructor(options: KnexSessionStoreOptions)
  /** @internal A sibling on another Knex or transaction. */
  constructor(options: KnexSessionStoreOptions, parent?: KnexSessionStore)
  constructor(options: KnexSessionStoreOptions, parent?: KnexSessionStore) {
    super()
    bindMethods(this, DETACHED)
    if (parent === undefined) watchGenerate(this)
    // express-session adds listeners for each session() that is given this store.
    this.setMaxListeners(0)
    this.options = resolveOptions(options)
    this.given = { ...options }
    this.parts = assemble(this.options)
    const { knex, dialect, timeoutMs, codec, trackLoads } = this.options
    this.revisions = parent?.revisions ?? new Revisions({ codec, tracksLoads: trackLoads === 'auto', era: this.parts.entry })
    const explain: Deadlines['explain'] = (operation, waitedMs) => Waits.of(knex.client).explain(operation, dialect.name, waitedMs)
    this.calls = new StoreCalls({
      ...this.options,
      deadlines: new CallDeadlines(timeoutMs, explain),
      // Pruning begins with the first call, not with the constructor.
      beforeFirst: () => this.parts.pruner?.join(this.options),
      assertUsable: () => refuseEnded(this.options.knex)
    })
    this.stepDeadlines = new Deadlines(timeoutMs, explain)
    const main = parent ?? this
    const { announce } = main.announcer
    const bound = <T>(operation: string, step: Promise<T>) => withinTime(step, operation, this.stepDeadlines)
    const given = { ...this.parts, options: this.options, revisions: this.revisions, isCopied: () => !main.isOfExpress(), announce, bound }
    this.services = sessionServices(given, parent?.services)
  }

  /** Returns the session, or null if there is none, if it has expired, or if it cannot be read (see the option `unreadable`). */
  override get(sessionId: string): Promise<SessionData | null>
  override get(sessionId: string, callback: Callback<SessionData | null>): void
  override get(sessionId: string, callback?: Callback<SessionData | null>): Promise<SessionData | null> | undefined {
    return this.calls.perform('get', (caller) => this.services.sessions.load(sessionId, caller), callback)
  }

  /**
   * Writes the session. If another request has changed it since it was loaded, the option `conflict` decides. If it was destroyed or has expired
   * since it was loaded, it stays dead: the write is dropped without an error, and the event `dropped` is emitted.
   * @throws {UnserializableSessionError} {@link SessionTooLargeError} {@link SessionConflictError}
   */
  override set(sessionId: string, session: SessionData): Promise<void>
  override set(sessionId: string, session: SessionData, callback?: Callback<void>): void
  override set(sessionId: string, session: SessionData, callback?: Callback<void>): Promise<void> | undefined {
    return this.calls.perform('set', (caller) => this.services.sessions.save(sessionId, session, caller), callback)
  }

  /**
   * Renews the expiry of the session. It sends no statement if the expiry would move by less than `touchAfterMs`. A dead session stays dead.
   * @throws {UnserializableSessionError} if the cookie's `expires` is not a moment, or its `maxAge` not a number
   */
  override touch(sessionId: string, session: SessionData): Promise<void>
  override touch(sessionId: string, session: SessionData, callback?: Callback<void>): void
  override touch(sessionId: string, session: SessionData, callback?: Callback<void>): Promise<void> | undefined {
    return this.calls.perform('touch', (caller) => this.services.sessions.touch(sessionId, session, caller), callback)
  }

  /** Ends the session, also for requests that hold it now. If there is none, nothing happens. */
  override destroy(sessionId: string): Promise<void>
  override destroy(sessionId: string, callback?: Callback<void>): void
  override destroy(sessionId: string, callback?: Callback<void>): Promise<void> | undefined {
    return this.calls.perform('destroy', (caller) => this.services.sessions.destroy(sessionId, caller), callback)
  }

  /** Called by express-session: makes the session object of a request from what `get` returned. */
  override createSession(request: Parameters<Store['createSession']>[0], session: SessionData): Session & SessionData {
    this.createsSessions = true
    const made = super.createSession(request, session)
    this.revisions.pass(session, made)
    if (this.services.sessions.hasOwners) requestBegins(request)
    return made
  }

  /** Returns all live sessions with the prefix of this store, without their ids, which the table does not hold. */
  override all(): Promise<SessionData[]>
  override all(callback: Callback<SessionData[]>): void
  override all(callback?: Callback<SessionData[]>): Promise<SessionData[]> | undefined {
    return this.calls.perform(
      'all',
      () => this.services.scan.sessions((record) => this.services.sessions.open(record, false)),
      callback,
      null
    )
  }

  /** Returns the stored ids of all live sessions, without the prefix: hashes, or with `storedId: 'plain'` the session ids. */
  ids(): Promise<string[]>
  ids(callback: Callback<string[]>): void
  ids(callback?: Callback<string[]>): Promise<string[]> | undefined {
    return this.calls.perform('ids', () => this.services.scan.ids(), callback, null)
  }

  /** Ends the session with a stored id, as `ids` returns it, also for requests that hold it now. Returns whether it was alive. */
  destroyById(storedId: string): Promise<boolean> {
    return this.calls.perform('destroyById', () => this.services.sessions.endById(storedId), undefined) as Promise<boolean>
  }

  /** Returns the number of live sessions with the prefix of this store. */
  override length(): Promise<number>
  override length(callback: Callback<number>): void
  override length(callback?: Callback<number>): Promise<number> | undefined {
    return this.calls.perform('length', () => this.services.scan.count(), callback)
  }

  /** Ends all sessions with the prefix of this store. */
  override clear(): Promise<void>
  override clear(callback?: Callback<void>): void
  override clear(callback?: Callback<void>): Promise<void> | undefined {
    return this.calls.perform('clear', () => this.services.sessions.clear(this.services.scan), callback, null)
  }

  /**
   * Returns the live sessions of an owner (see the option `owner`), the newest first: for a page "your devices".
   *
   * @throws {InvalidOptionError} if `ownerId`, `limit` or `after` is wrong
   */
  ofOwner(ownerId: OwnerId, options?: OfOwnerOptions): Promise<OwnedSession[]> {
    return this.calls.perform('ofOwner', () => this.services.owners.list(ownerId, options), undefined, null) as Promise<OwnedSession[]>
  }

  /** Ends all sessions of an owner, but the one of `except`: "log out everywhere". Returns how many it ended. */
  destroyOwner(ownerId: OwnerId, options?: DestroyOwnerOptions): Promise<number> {
    return this.calls.perform('destroyOwner', () => this.services.owners.destroyAll(ownerId, options), undefined, null) as Promise<number>
  }

  /** Ends the session that a handle of `ofOwner` stands for, if it belongs to the owner. Returns whether there was such a session. */
  destroyHandle(handle: string, options: { ownerId: OwnerId }): Promise<boolean> {
    return this.calls.perform('destroyHandle', () => this.services.owners.destroy(handle, options), undefined, null) as Promise<boolean>
  }

  /** Returns the number of live sessions of an owner. */
  countOf(ownerId: OwnerId): Promise<number> {
    return this.calls.perform('countOf', () => this.services.owners.count(ownerId), undefined, null) as Promise<number>
  }

  /** Returns how many live sessions each owner has, in the order of the column `owner_id`. Owners without a live session are not in it. */
  countByOwner(): Promise<Map<string, number>> {
    return this.calls.perform('countByOwner', () => this.services.owners.counts(), undefined, null) as Promise<Map<string, number>>
  }

  /**
   * Resolves when the table exists. For an application that wants to fail at its start.
   * @throws {TableMissingError} {@link ForeignTableError} {@link DatabaseError}, also if Knex was destroyed
   * @example
   * await store.ready()
   * app.listen(3000)
   */
  ready(): Promise<void> {
    return this.calls.perform('ready', () => this.parts.budget.use(() => this.parts.table.ready()), undefined) as Promise<void>
  }

  /**
   * Deletes the rows of sessions that ended more than ten minutes ago, by the clock of the database and by the clock of the store, in batches of
   * `pruneBatchSize`. Returns how many rows were deleted. For cron and serverless: otherwise the store does it every `pruneIntervalMs`.
   */
  prune(): Promise<number> {
    const { prune } = this.parts
    return this.calls.perform('prune', () => pruneAll(prune, this.options.pruneBatchSize), undefined, null) as Promise<number>
  }

  /** Ends pruning and refuses new calls. Resolves when the calls in flight have their results. The application's Knex stays open. */
  async close(): Promise<void> {
    this.calls.refuse()
    await this.parts.pruner?.leave(this.options)
    await this.calls.settled()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /**
   * Returns this store inside a transaction: its writes are committed or rolled back with everything else there. It knows the sessions that this
   * store has loaded. After the transaction has ended, each call fails with a {@link TransactionEndedError}.
   *
   * @example
   * await db.transaction(async (trx) => {
   *   await trx('orders').insert(order)
   *   await store.withTransaction(trx).set(req.sessionID, req.session)
   * })
   *
   * @throws {InvalidOptionError} if `trx` is not a transaction
   */
  withTransaction(trx: Knex.Transaction): KnexSessionStore {
    requireTransaction(trx)
    return new KnexSessionStore({ ...this.given, knex: trx }, this)
  }

  /** Returns counts and times since the start. It is cheap enough to be called every second. */
  stats(): SessionStoreStatistics {
    const { table, records } = this.parts
    return {
      operations: this.calls.statistics.calls(),
      statements: table.statistics.statements(),
      waiting: records.waiting,
      events: this.announcer.events()
    }
  }

  /**
   * Returns whether the store can read and write now. It reads a session that does not exist and touches it, which changes nothing. On a standby,
   * or if writing is refused, `ok` is false, and `error` says why. In a transaction it only reads, because a refused write would abort the
   * transaction. Never fails.
   */
  health(): Promise<SessionStoreHealth> {
    const { knex, dialect } = this.options
    const probing = async () => {
      refuseEnded(knex)
      await probe(this.parts.records, knex.isTransaction === true)
    }
    return healthOf(dialect.name, () => withinTime(probing(), 'health', this.stepDeadlines))
  }

  /** @internal For `reset` of the subpath testing. */
  [RESET](): Promise<void> {
    return this.calls.perform('reset', () => forgetAll(this.parts), undefined) as Promise<void>
  }

  /** True if express-session uses this store: `session()` puts `generate` on it before anything is loaded. */
  private isOfExpress(): boolean {
    return this.createsSessions || (this as { generate?: unknown }).generate !== undefined
  }
}
