import { type Session, type SessionData, Store } from 'express-session'
import type { Knex } from 'knex'
import { assemble, type Parts } from './assemble'
import { answerInTime, type Callback, withinTime } from './calls/callbacks'
import { CallDeadlines, type Caller } from './calls/caller'
import { Deadlines } from './calls/deadlines'
import { StoreCall } from './calls/store-call'
import { StoreClosedError } from './errors'
import type { SessionStoreEvents } from './events'
import { refuseEnded, requireTransaction } from './knex/transaction-end'
import { Waits } from './knex/waits'
import { type SessionStoreStatistics, Statistics } from './observe/statistics'
import { type KnexSessionStoreOptions, type ResolvedOptions, resolveOptions } from './options/store-options'
import { Revisions } from './record/revisions'
import { HASH_LENGTH } from './record/stored-id'
import { afterTick } from './runtime/natives'
import { healthOf, probe, type SessionStoreHealth } from './sessions/health'
import { forgetAll, RESET } from './sessions/reset'
import { SessionScan } from './sessions/session-scan'
import { Sessions } from './sessions/sessions'
import { pruneAll } from './table/pruner'

export interface KnexSessionStore {
  on<Name extends keyof SessionStoreEvents>(event: Name, listener: (...event: SessionStoreEvents[Name]) => void): this
  // biome-ignore lint/suspicious/noExplicitAny: the signature of EventEmitter
  on(event: string | symbol, listener: (...args: any[]) => void): this
  once<Name extends keyof SessionStoreEvents>(event: Name, listener: (...event: SessionStoreEvents[Name]) => void): this
  // biome-ignore lint/suspicious/noExplicitAny: the signature of EventEmitter
  once(event: string | symbol, listener: (...args: any[]) => void): this
}

/**
 * A store for express-session (and its relatives) in a SQL database, through the application's own Knex.
 *
 * The constructor checks its options and does nothing else: no I/O, no timer. The table is made on first use, if it is missing. Make as
 * many stores as you like, one an application: stores of one Knex and table share what is costly.
 *
 * Every method answers once and within `timeoutMs`: by the callback, if one is given, else by the promise it returns.
 *
 * @example
 * const db = knex({ client: 'pg', connection: process.env.DATABASE_URL })
 * app.use(session({ store: new KnexSessionStore({ knex: db }), secret, resave: false, saveUninitialized: false }))
 */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: see above
export class KnexSessionStore extends Store {
  private readonly given: KnexSessionStoreOptions
  private readonly options: ResolvedOptions
  private readonly parts: Parts
  private readonly revisions: Revisions
  private readonly sessions: Sessions
  private readonly scan: SessionScan
  private readonly callDeadlines: CallDeadlines
  private readonly stepDeadlines: Deadlines
  private closed = false
  private joined = false
  private createsSessions = false
  private readonly statistics = new Statistics()
  private readonly eventCounts = new Map<string, number>()
  private underWay = 0
  private idle: (() => void) | undefined

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
    bindMethods(this)
    // express-session adds listeners for each session() that is given this store.
    this.setMaxListeners(0)
    this.options = resolveOptions(options)
    this.given = { ...options }
    this.parts = assemble(this.options)
    const { knex, dialect, timeoutMs, codec, trackLoads } = this.options
    this.revisions = parent?.revisions ?? new Revisions({ codec, tracksLoads: trackLoads === 'auto', era: this.parts.entry })
    const explain: Deadlines['explain'] = (operation, waitedMs) => Waits.of(knex.client).explain(operation, dialect.name, waitedMs)
    this.callDeadlines = new CallDeadlines(timeoutMs, explain)
    this.stepDeadlines = new Deadlines(timeoutMs, explain)
    const announcer = parent ?? this
    this.sessions = new Sessions({
      ...this.parts,
      options: this.options,
      revisions: this.revisions,
      transaction: this.options.knex.isTransaction ? this.options.knex.client : undefined,
      isCopied: () => !announcer.isOfExpress(),
      announce: (name, ...event) => announcer.announce(name, ...event)
    })
    const { prefix, storedId, upgradePlainIds } = this.options
    const isHashed = storedId === 'hashed' && !upgradePlainIds
    const range = { prefix, idLength: isHashed ? [...prefix].length + HASH_LENGTH : undefined }
    this.scan = new SessionScan(this.parts, range, (operation, step) => withinTime(step, operation, this.stepDeadlines))
  }

  /** Gives the session, or null if there is none, or none that is alive and can be read. */
  override get(sessionId: string): Promise<SessionData | null>
  override get(sessionId: string, callback: Callback<SessionData | null>): void
  override get(sessionId: string, callback?: Callback<SessionData | null>): Promise<SessionData | null> | undefined {
    return this.perform('get', (caller) => this.sessions.load(sessionId, caller), callback)
  }

  /**
   * Writes the session. A session that was loaded from here and was destroyed or has expired since then stays dead: the write is
   * dropped, without error, and the event `dropped` is emitted.
   */
  override set(sessionId: string, session: SessionData): Promise<void>
  override set(sessionId: string, session: SessionData, callback?: Callback<void>): void
  override set(sessionId: string, session: SessionData, callback?: Callback<void>): Promise<void> | undefined {
    return this.perform('set', (caller) => this.sessions.save(sessionId, session, caller), callback)
  }

  /** Renews the session's expiry; costs no statement where that moves it by less than `touchAfterMs`. Never brings a session back. */
  override touch(sessionId: string, session: SessionData): Promise<void>
  override touch(sessionId: string, session: SessionData, callback?: Callback<void>): void
  override touch(sessionId: string, session: SessionData, callback?: Callback<void>): Promise<void> | undefined {
    return this.perform('touch', (caller) => this.sessions.touch(sessionId, session, caller), callback)
  }

  /** Ends the session, also for requests that hold it now. Without error if there is none. */
  override destroy(sessionId: string): Promise<void>
  override destroy(sessionId: string, callback?: Callback<void>): void
  override destroy(sessionId: string, callback?: Callback<void>): Promise<void> | undefined {
    return this.perform('destroy', (caller) => this.sessions.destroy(sessionId, caller), callback)
  }

  /** express-session's own: makes the session object of a request from what `get` gave. It stands for the same revision. */
  override createSession(request: Parameters<Store['createSession']>[0], session: SessionData): Session & SessionData {
    this.createsSessions = true
    const made = super.createSession(request, session)
    this.revisions.pass(session, made)
    return made
  }

  /** Gives all live sessions with this store's prefix. They do not carry their ids: the table does not hold them. */
  override all(): Promise<SessionData[]>
  override all(callback: Callback<SessionData[]>): void
  override all(callback?: Callback<SessionData[]>): Promise<SessionData[]> | undefined {
    return this.perform('all', () => this.scan.sessions((record) => this.sessions.open(record)), callback, null)
  }

  /** Gives the stored ids, without prefix, of all live sessions: hashes, or with `storedId: 'plain'` the session ids. */
  ids(): Promise<string[]>
  ids(callback: Callback<string[]>): void
  ids(callback?: Callback<string[]>): Promise<string[]> | undefined {
    return this.perform('ids', () => this.scan.ids(), callback, null)
  }

  /** Gives the number of live sessions with this store's prefix. */
  override length(): Promise<number>
  override length(callback: Callback<number>): void
  override length(callback?: Callback<number>): Promise<number> | undefined {
    return this.perform('length', () => this.scan.count(), callback)
  }

  /** Ends all sessions with this store's prefix. */
  override clear(): Promise<void>
  override clear(callback?: Callback<void>): void
  override clear(callback?: Callback<void>): Promise<void> | undefined {
    return this.perform('clear', () => this.sessions.clear(this.scan), callback, null)
  }

  /** Resolves when the table is there: for an application that wants to know at its start. */
  ready(): Promise<void> {
    return this.perform('ready', () => this.parts.budget.use(() => this.parts.table.ready()), undefined) as Promise<void>
  }

  /**
   * Deletes the rows of sessions that ended more than ten minutes ago, by the clock of the database and by the store's, in batches of
   * at most `pruneBatchSize`.
   * Gives how many went. For cron and serverless; otherwise it is done every `pruneIntervalMs`.
   */
  prune(): Promise<number> {
    const { prune } = this.parts
    return this.perform('prune', () => pruneAll(prune, this.options.pruneBatchSize), undefined, null) as Promise<number>
  }

  /** Ends pruning and refuses new calls; resolves when the calls under way are answered. The application's Knex stays open. */
  async close(): Promise<void> {
    this.closed = true
    await this.parts.pruner?.leave(this.options)
    if (this.underWay > 0) await new Promise<void>((resolve) => (this.idle = resolve))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /**
   * This store inside a transaction: what it writes is committed or rolled back with everything else there. It knows the sessions that
   * this store loaded. After the transaction has ended, each call is refused with a {@link TransactionEndedError}.
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

  /** Counts and times since the start: a copy, cheap enough to be asked every second. */
  stats(): SessionStoreStatistics {
    const { table, records } = this.parts
    return {
      operations: this.statistics.calls(),
      statements: table.statistics.statements(),
      waiting: records.waiting,
      events: Object.fromEntries(this.eventCounts)
    }
  }

  /**
   * Whether the store can do its work now: looks for a session that is not there and renews its expiry, which changes nothing. On a standby, or
   * where only writing is refused, it is not ok, and `error` says why. In a transaction it only looks, because a write that is refused would
   * abort the transaction. Never fails.
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
    return this.perform('reset', () => forgetAll(this.parts), undefined) as Promise<void>
  }

  /** True once express-session uses this store: `session()` puts `generate` on it, before anything is loaded. */
  private isOfExpress(): boolean {
    return this.createsSessions || 'generate' in this
  }

  private announce<Name extends keyof SessionStoreEvents>(name: Name, ...event: SessionStoreEvents[Name]): void {
    this.eventCounts.set(name, (this.eventCounts.get(name) ?? 0) + 1)
    // A listener's throw is the listener's: it must not turn a session that was saved into one that failed.
    afterTick(() => this.emit(name, ...event))
  }

  /** @param deadlines null for what is bounded step by step */
  private perform<T>(
    operation: string,
    work: (caller: Caller) => Promise<T>,
    callback: Callback<T> | undefined,
    deadlines: CallDeadlines | null = this.callDeadlines
  ): Promise<T> | undefined {
    if (!this.joined) this.join()
    const call = new StoreCall(operation, deadlines, this.options, this.statistics, this.ended)
    this.underWay++
    // What it throws is the answer too.
    const begin = (caller: Caller) => {
      if (this.closed) throw new StoreClosedError(operation)
      refuseEnded(this.options.knex)
      return call.start(() => work(caller))
    }
    return answerInTime(begin, call, typeof callback === 'function' ? callback : undefined)
  }

  private readonly ended = () => {
    this.underWay--
    if (this.underWay === 0) this.idle?.()
  }

  /** Pruning begins with the first call, not with the constructor. */
  private join(): void {
    this.joined = true
    if (!this.closed) this.parts.pruner?.join(this.options)
  }
}

const DETACHED = ['get', 'set', 'touch', 'destroy', 'all', 'ids', 'length', 'clear'] as const

/** Clients take methods off their store: `const { get, set } = store`, `promisify(store.get)`. */
function bindMethods(store: KnexSessionStore): void {
  const methods = store as unknown as Record<(typeof DETACHED)[number], () => unknown>
  for (const name of DETACHED) methods[name] = methods[name].bind(store)
}
