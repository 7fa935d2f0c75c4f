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

/** What began a unit: a request, a job, or a call of `run`, as in a script or a test. */
export type UnitKind = 'request' | 'job' | 'run'

/** The state of a unit. `'ended'`: a nested transaction that Knex has ended. */
export type UnitState = 'open' | 'ending' | 'committed' | 'rolled back' | 'prepared' | 'ended'

/** What a unit is made with. */
export interface UnitSettings extends Beginning {
  readonly knex: Knex
  readonly dialect: WorkDialect
  readonly kind: UnitKind
  /** The client of the unit's Knex. */
  readonly owner: object
  /** The unit around this one. If there is one, this unit is a savepoint. */
  readonly parent?: Unit | undefined
  /** The nested transaction of this unit, if `transaction()` of Knex has begun it. Then Knex also ends it. */
  readonly adopted?: Knex.Transaction
  /** The session stores that may write in the unit. */
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
  /** @internal Work that was begun in the unit and has not ended. */
  readonly inProgress = new WorkInProgress()
  /** @internal Where the builders of this unit run. */
  readonly place: Place
  readonly #settings: UnitSettings
  #outer: Frame | undefined
  #state: UnitState = 'open'
  #opening: Promise<Scope> | undefined
  #transaction: OpenTransaction | undefined
  #scope: Scope | undefined
  #ending: Promise<void> | undefined
  #rollingBack: Promise<void> | undefined
  /** True while the unit waits for its work before it ends. What this work begins still belongs to the unit. */
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
    // Read for its effect: it drops references to units that are over. Otherwise a chain of units that begin each other would stay in
    // memory.
    void this.#outer?.outer
  }

  /** The nearest frame around this unit that is not over. */
  get outer(): Frame | undefined {
    // A frame of the same owner that is over can be left out: code in this unit finds this unit first.
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

  /** @internal True while the unit accepts statements. */
  get admits(): boolean {
    return this.state === 'open' || this.#isDraining
  }

  /** @internal The session stores that may write in the unit. */
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
    // A commit that has begun cannot be taken back.
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

  /** @internal Makes the unit fail for another reason than a failed statement. */
  async fail(cause: unknown): Promise<void> {
    this.#failure ??= { cause }
    await this.#scope?.fail(cause)
  }

  /** @internal Resolves when all work of the unit has ended, also work that nothing awaits, or when the unit is over. */
  async settled(): Promise<void> {
    // A builder that an async function awaits begins a moment after the call of the function.
    await new Promise<void>((resolve) => afterAnswers(resolve))
    while (this.inProgress.isBusy && !this.isOver) await Promise.race([this.inProgress.quiet(), this.#over])
  }

  /** @internal Returns the transaction, and begins it if necessary. */
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
    // If the transaction cannot begin, the next statement tries again.
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
    // Outside of any frame: a connection that the pool opens now would otherwise keep this async context for all its life.
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
    // If the connection is lost, the server rolls back by itself.
    await this.#transaction?.rollback().catch(nothing)
  }

  #close(state: UnitState): void {
    this.#state = state
    if (this.#scope) this.#scope.refusal = () => new UnitEndedError(state)
    this.#markOver()
  }
}

/** Returns the frame if it is a unit. Does not use instanceof, because another copy of this module may have made the unit. */
export function unitOf(frame: Frame | undefined): Unit | undefined {
  return frame?.isUnit ? (frame as Unit) : undefined
}
