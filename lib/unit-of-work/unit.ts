import type { Knex } from 'knex'
import { type Asker, askedBy, currentFrame, type Frame, runWithin } from './context'
import type { WorkDialect } from './dialects/work-dialect'
import { RollbackOnlyError, UnitEndedError } from './errors'
import { clientOf } from './knex-client'
import { placedKnex } from './placed-knex'
import { Scope, type ScopeRules } from './scope'
import { adoptTransaction, type Beginning, beginTransaction, type OpenTransaction } from './transaction'
import { explainXid, preparationOf } from './two-phase'
import { UnitPlace } from './unit-place'

/** Who began a unit: a request or a job of the application, or code that waits for it, as a test or a script does. */
export type UnitKind = 'request' | 'job' | 'run'

/** What has become of a unit. `'ended'` is said of a nested transaction, which Knex ends. */
export type UnitState = 'open' | 'ending' | 'committed' | 'rolled back' | 'prepared' | 'ended'

/** What a unit is made with. */
export interface UnitSettings extends Beginning {
  readonly knex: Knex
  readonly dialect: WorkDialect
  readonly kind: UnitKind
  /** The `UnitOfWork` it is a unit of. */
  readonly owner: object
  /** The unit it is nested in: then it is a savepoint. */
  readonly parent?: Unit | undefined
  /** The nested transaction it stands for, where that was begun by `transaction()`, which also ends it. */
  readonly adopted?: Knex.Transaction
}

const RULES: ScopeRules = {
  failureIsFinal: true,
  commitAfterFailure: 'refused',
  bystandersFail: true,
  ends: 'at once',
  guardsStatements: false,
  get nested() {
    return RULES
  }
}

/**
 * One unit of work: its statements commit together or not at all. The transaction begins with the first statement; without one there is none.
 * It is `req.work` of a request, and what `work.run()` gives its function.
 */
export class Unit implements Frame {
  /** @internal */
  readonly owner: object
  /** @internal */
  readonly kind: UnitKind
  /** @internal Where its builders run. */
  readonly place: UnitPlace
  readonly #settings: UnitSettings
  #outer: Frame | undefined
  #state: UnitState = 'open'
  #opening: Promise<Scope> | undefined
  #transaction: OpenTransaction | undefined
  #scope: Scope | undefined
  #ending: Promise<void> | undefined
  #xid: string | undefined
  #db: Knex | undefined

  /** @internal */
  constructor(settings: UnitSettings) {
    this.#settings = settings
    this.#xid = settings.xid
    this.#outer = settings.adopted ? settings.parent : currentFrame()
    this.kind = settings.kind
    this.owner = settings.owner
    this.place = new UnitPlace({
      pool: clientOf(settings.knex),
      assertOpen: () => this.#assertOpen(),
      open: () => this.#open(),
      frameOf: (adopted) => new Unit({ ...settings, parent: this, adopted })
    })
    if (settings.adopted) this.#adopt(settings.adopted)
    // Read for its effect: a unit made by one that was made by one … keeps no more of them than are open.
    void this.#outer?.outer
  }

  /** What this unit was begun within, as far as it is still open. */
  get outer(): Frame | undefined {
    // Nobody looks past this unit for one of the same owner.
    while (this.#outer?.owner === this.owner && this.#outer.isOver) this.#outer = this.#outer.outer
    return this.#outer
  }

  /** @internal */
  get isOver(): boolean {
    return this.state !== 'open' && this.state !== 'ending'
  }

  /** @internal True once a statement has begun the transaction. */
  get hasBegun(): boolean {
    return this.#opening !== undefined
  }

  /** @internal */
  get schemaChangesCommit(): boolean {
    return this.#settings.dialect.schemaChangesCommit
  }

  /** A Knex that always runs in this unit, whatever code uses it; after the unit's end it throws {@link UnitEndedError}. */
  get db(): Knex {
    this.#db ??= placedKnex(this.#settings.knex, () => this.place, {
      isTransaction: true,
      properties: { isCompleted: () => this.state !== 'open' }
    })
    return this.#db
  }

  /** What has become of it. */
  get state(): UnitState {
    return this.#state === 'open' && this.#settings.adopted?.isCompleted() ? 'ended' : this.#state
  }

  /** True if a statement failed: nothing but rolling back is possible. */
  get isRollbackOnly(): boolean {
    return this.#scope?.failure !== undefined
  }

  /**
   * Commits now, after what is still running in the unit. A request or function does it by itself at its end.
   * @throws {RollbackOnlyError} where a statement failed before, and whatever the database says. It is rolled back then.
   */
  async commit(): Promise<void> {
    await this.#end('committed', (transaction) => transaction.commit())
  }

  /** Rolls back now. Nothing more can be done in the unit. Rolling back twice is the same as once. */
  async rollback(): Promise<void> {
    if (this.#ending) return this.#ending.catch(ignore)
    this.#ending = this.#rollback()
    await this.#ending
  }

  /**
   * The first phase of a two-phase commit: what was done is kept by the server under `xid`, visible to nobody and safe from a crash, until
   * `work.commitPrepared(xid)` or `work.rollbackPrepared(xid)`, from any connection or process. The unit ends with it.
   *
   * @param xid 1 to 64 letters, digits, and `. _ : -`; MySQL and MariaDB have to know it before the first statement (option `xid`).
   * @throws {TwoPhaseUnsupportedError} {@link TwoPhaseDisabledError} {@link XidConflictError}
   */
  async prepare(xid = this.#xid): Promise<void> {
    this.#assertOpen()
    const { dialect, knex, parent } = this.#settings
    const preparation = preparationOf(dialect, knex, {
      xid,
      begunAs: this.hasBegun ? (this.#xid ?? '') : undefined,
      isNested: parent !== undefined
    })
    this.#xid = xid
    await this.#open()
    await this.#end('prepared', (transaction) => transaction.prepare(preparation).catch((error) => explainXid(dialect, xid, error)))
  }

  /** @internal For what is found out outside of a statement. */
  async fail(cause: unknown): Promise<void> {
    await this.#scope?.fail(cause)
  }

  /** @internal The transaction, begun if it has not been. */
  async begin(): Promise<Knex.Transaction> {
    this.#assertOpen()
    return (await this.#open()).trx
  }

  #adopt(trx: Knex.Transaction): void {
    this.#transaction = adoptTransaction(trx)
    this.#scope = Scope.of(trx)
    if (this.#scope) this.#opening = Promise.resolve(this.#scope)
  }

  #assertOpen(): void {
    if (this.state !== 'open') throw new UnitEndedError(this.state)
  }

  #open(): Promise<Scope> {
    // A failure to begin is not remembered: the next statement tries again.
    this.#opening ??= this.#begin().catch((error) => {
      this.#opening = undefined
      throw error
    })
    return this.#opening
  }

  async #begin(): Promise<Scope> {
    const { parent, knex, dialect, isolation, readOnly } = this.#settings
    const xid = this.#xid
    const asker: Asker = { frame: this, within: currentFrame() }
    const surrounding = await parent?.begin()
    // Outside of any frame: a connection that the pool opens for us must not carry our context for all its life.
    const transaction = await runWithin(undefined, async () => {
      if (surrounding) return beginTransaction(surrounding, undefined)
      return beginTransaction(knex, dialect.wording({ isolation, readOnly, xid }), { [askedBy]: asker })
    }).catch((error) => explainXid(dialect, xid, error))
    const scope = (parent && Scope.of(transaction.trx)) ?? new Scope(transaction.trx, RULES, transaction.undo)
    if (parent) parent.place.pend(transaction.ended)
    if (this.isOver) scope.refusal = () => new UnitEndedError(this.#state)
    this.#transaction = transaction
    this.#scope = scope
    return scope
  }

  async #end(state: UnitState, finish: (transaction: OpenTransaction) => Promise<void>): Promise<void> {
    this.#assertOpen()
    this.#state = 'ending'
    this.#ending = this.#finish(state, finish)
    return this.#ending
  }

  async #finish(state: UnitState, finish: (transaction: OpenTransaction) => Promise<void>): Promise<void> {
    try {
      await this.place.finish()
      const failure = this.#scope?.failure
      if (failure) throw new RollbackOnlyError(failure.cause)
      if (this.#transaction) await finish(this.#transaction)
      this.#close(state)
    } catch (error) {
      await this.#rollback()
      throw error
    }
  }

  async #rollback(): Promise<void> {
    this.#close('rolled back')
    await this.#opening?.catch(ignore)
    // A connection that is lost is rolled back by the server.
    await this.#transaction?.rollback().catch(ignore)
  }

  #close(state: UnitState): void {
    this.#state = state
    if (this.#scope) this.#scope.refusal = () => new UnitEndedError(state)
  }
}

function ignore(): void {
  // It was told to the one who asked for it.
}
