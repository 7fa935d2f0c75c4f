import type { Knex } from 'knex'
import type { Beginning, Intent, WorkDialect } from '../dialects/work-dialect'
import { clientOf } from '../knex/knex-client'
import { afterAnswers } from '../runtime/event-loop'
import { nothing } from '../runtime/nothing'
import { type Asker, askedBy, currentFrame, type Frame, runWithin } from './context'
import { RollbackOnlyError, UnitEndedError } from './errors'
import type { Place } from './place'
import { placedKnex } from './placed-knex'
import { Scope, UNIT_RULES } from './scope'
import type { StoresInUnits } from './stores-in-units'
import { adoptTransaction, beginTransaction, type OpenTransaction } from './transaction'
import { explainXid, preparationOf } from './two-phase'
import { UnitPlace } from './unit-place'
import { WorkInProgress } from './work-in-progress'
import { takeWriteTurn } from './write-turns'

/** What began a unit: a request or a job of the application, or code that waits for it, as a test or a script does. */
export type UnitKind = 'request' | 'job' | 'run'

/** The state of a unit. `'ended'`: a nested transaction that Knex has ended. */
export type UnitState = 'open' | 'ending' | 'committed' | 'rolled back' | 'prepared' | 'ended'

/** What a unit is made with. */
export interface UnitSettings extends Beginning {
  readonly knex: Knex
  readonly dialect: WorkDialect
  readonly kind: UnitKind
  /** The client of the Knex it is a unit of. */
  readonly owner: object
  /** The unit it is nested in: then it is a savepoint. */
  readonly parent?: Unit | undefined
  /** The nested transaction it stands for, where that was begun by `transaction()`, which also ends it. */
  readonly adopted?: Knex.Transaction
  /** The session stores that may write in it. */
  readonly stores: StoresInUnits
}

/**
 * One unit of work: its statements commit together or not at all. The transaction begins with the first statement. Without a statement
 * there is no transaction. It is `req.work` of a request, and the argument of the function of `work.run()`.
 */
export class Unit implements Frame {
  /** @internal */
  readonly isUnit = true
  /** @internal */
  readonly owner: object
  /** @internal */
  readonly kind: UnitKind
  /** @internal What was begun in it and has not ended. */
  readonly inProgress = new WorkInProgress()
  /** @internal The place where its builders run. */
  readonly place: Place
  readonly #settings: UnitSettings
  #outer: Frame | undefined
  #state: UnitState = 'open'
  #opening: Promise<Scope> | undefined
  #transaction: OpenTransaction | undefined
  #scope: Scope | undefined
  #ending: Promise<void> | undefined
  #rollingBack: Promise<void> | undefined
  /** True while the end waits for work that was begun. Work that this work begins still belongs to the unit. */
  #isDraining = false
  #takesConnection = false
  #failure: { readonly cause: unknown } | undefined
  readonly #over: Promise<void>
  #markOver = nothing
  #xid: string | undefined
  #db: Knex | undefined

  /** @internal */
  constructor(settings: UnitSettings) {
    this.#settings = settings
    this.#over = new Promise((resolve) => (this.#markOver = resolve))
    this.#xid = settings.xid
    this.#outer = settings.adopted ? settings.parent : currentFrame()
    this.kind = settings.kind
    this.owner = settings.owner
    this.place = new UnitPlace({
      pool: clientOf(settings.knex),
      inProgress: this.inProgress,
      assertAdmits: () => this.#assertAdmits(),
      open: (intent) => this.#open(intent),
      frameOf: (adopted) => new Unit({ ...settings, parent: this, adopted })
    })
    if (settings.adopted) {
      this.#transaction = adoptTransaction(settings.adopted)
      this.#scope = Scope.of(settings.adopted)
      this.#opening = this.#scope && Promise.resolve(this.#scope)
    }
    // Read for its effect: a unit made by one that was made by one … keeps no more of them than are open.
    void this.#outer?.outer
  }

  /** The frame that this unit was begun within, as far as it is open. */
  get outer(): Frame | undefined {
    // No code looks past this unit for a frame of the same owner.
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
  get holdsConnection(): boolean {
    return this.#takesConnection && !this.isOver
  }

  /** @internal True while statements may begin in it. */
  get admits(): boolean {
    return this.state === 'open' || this.#isDraining
  }

  /** @internal The session stores that may write in it. */
  get stores(): StoresInUnits {
    return this.#settings.stores
  }

  /** A Knex that always runs in this unit, whatever code uses it; after the unit's end it throws {@link UnitEndedError}. */
  get db(): Knex {
    this.#db ??= placedKnex(this.#settings.knex, () => this.place, {
      end: { isOver: () => this.state !== 'open', refusal: () => new UnitEndedError(this.state) }
    })
    return this.#db
  }

  /** The state of the unit. */
  get state(): UnitState {
    return this.#state === 'open' && this.#settings.adopted?.isCompleted() ? 'ended' : this.#state
  }

  /** True if a statement failed: nothing but rolling back is possible. */
  get isRollbackOnly(): boolean {
    return this.#whyRollbackOnly !== undefined
  }

  /**
   * Commits now, after the work that is still running in the unit. A request or function commits by itself at its end.
   * @throws {RollbackOnlyError} if a statement failed before; also throws the database's errors. The unit is rolled back then.
   */
  async commit(): Promise<void> {
    await this.#end('committed', (transaction) => transaction.commit())
  }

  /** Rolls back now. Nothing more can be done in the unit. Rolling back twice is the same as once. */
  async rollback(): Promise<void> {
    // The end is under way or over, and is not taken back.
    if (this.#ending && !this.#isDraining) return this.#ending.catch(nothing)
    await this.#rollback()
  }

  /**
   * The first phase of a two-phase commit. The server keeps the work under `xid`, invisible and safe from a crash, until
   * `work.commitPrepared(xid)` or `work.rollbackPrepared(xid)` is called, from any connection or process. The unit ends with this call.
   *
   * @param xid 1 to 64 letters, digits, and `. _ : -`; MySQL and MariaDB have to know it before the first statement (option `xid`)
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
    await this.#open('any')
    await this.#end('prepared', (transaction) => transaction.prepare(preparation).catch((error) => explainXid(dialect, xid, error)))
  }

  /** @internal Fails the unit for a reason that is not a failed statement. */
  async fail(cause: unknown): Promise<void> {
    this.#failure ??= { cause }
    await this.#scope?.fail(cause)
  }

  /** @internal Resolves when all has ended that was begun in the unit and not awaited, or when the unit is over. */
  async settled(): Promise<void> {
    // A builder that an async function awaits begins a moment after that function was called.
    await new Promise<void>((resolve) => afterAnswers(resolve))
    while (this.inProgress.isBusy && !this.isOver) await Promise.race([this.inProgress.quiet(), this.#over])
  }

  /** @internal The transaction, begun if it has not been. */
  async begin(intent: Intent): Promise<Knex.Transaction> {
    this.#assertAdmits()
    return (await this.#open(intent)).trx
  }

  get #whyRollbackOnly(): { readonly cause: unknown } | undefined {
    return this.#scope?.failure ?? this.#failure
  }

  #assertOpen(): void {
    if (this.state !== 'open') throw new UnitEndedError(this.state)
  }

  #assertAdmits(): void {
    if (!this.admits) throw new UnitEndedError(this.state)
  }

  #open(intent: Intent): Promise<Scope> {
    if (this.#opening) return this.#opening
    const opening = this.#begin(intent)
    this.#opening = opening
    // A failure to begin is not remembered: the next statement tries again.
    opening.catch(() => {
      this.#opening = undefined
    })
    this.#settings.parent?.inProgress.add(opening.then(() => this.#transaction?.ended, nothing))
    return opening
  }

  async #begin(intent: Intent): Promise<Scope> {
    const { parent, knex, dialect, isolation, readOnly, stores } = this.#settings
    const xid = this.#xid
    const asker: Asker = { frame: this, within: currentFrame() }
    const surrounding = await parent?.begin(intent)
    if (!surrounding) await stores.settle(asker.within)
    const takesTurn = !surrounding && intent === 'write' && dialect.hasOneWriter
    const giveTurnBack = takesTurn ? await takeWriteTurn(clientOf(knex), this, asker.within) : nothing
    this.#takesConnection = true
    // Outside of any frame: a connection that the pool opens for us must not carry our context for all its life.
    const transaction = await runWithin(undefined, async () => {
      if (surrounding) return beginTransaction(surrounding, undefined)
      return beginTransaction(knex, dialect.wording({ isolation, readOnly, xid, intent }), { [askedBy]: asker })
    }).catch((error) => {
      giveTurnBack()
      return explainXid(dialect, xid, error)
    })
    const scope = (parent && Scope.of(transaction.trx)) ?? new Scope(transaction.trx, UNIT_RULES, transaction.undo)
    if (this.isOver) scope.refusal = () => new UnitEndedError(this.#state)
    this.#transaction = transaction
    this.#scope = scope
    void transaction.ended.then(giveTurnBack)
    return scope
  }

  async #end(state: UnitState, finish: (transaction: OpenTransaction) => Promise<void>): Promise<void> {
    this.#assertOpen()
    this.#state = 'ending'
    this.#isDraining = true
    this.#ending = this.#finish(state, finish)
    return this.#ending
  }

  async #finish(state: UnitState, finish: (transaction: OpenTransaction) => Promise<void>): Promise<void> {
    try {
      do await this.settled()
      while (this.inProgress.isBusy && !this.isOver)
      if (this.isOver) throw new UnitEndedError(this.#state)
      this.#isDraining = false
      this.inProgress.refuseHandles()
      await this.#opening?.catch(nothing)
      const failure = this.#whyRollbackOnly
      if (failure) throw new RollbackOnlyError(failure.cause)
      if (this.#transaction) await finish(this.#transaction)
      this.#close(state)
    } catch (error) {
      await this.#rollback()
      throw error
    }
  }

  #rollback(): Promise<void> {
    this.#rollingBack ??= this.#undo()
    return this.#rollingBack
  }

  async #undo(): Promise<void> {
    this.#isDraining = false
    this.#close('rolled back')
    await this.#opening?.catch(nothing)
    await this.inProgress.withoutSessionWrites()
    // A connection that is lost is rolled back by the server.
    await this.#transaction?.rollback().catch(nothing)
  }

  #close(state: UnitState): void {
    this.#state = state
    if (this.#scope) this.#scope.refusal = () => new UnitEndedError(state)
    this.#markOver()
  }
}

/** The unit that the frame is, if it is one. Not by its class: another copy of this module may have made it. */
export function unitOf(frame: Frame | undefined): Unit | undefined {
  return frame?.isUnit ? (frame as Unit) : undefined
}
