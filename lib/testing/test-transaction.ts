import type { Knex } from 'knex'
import { type Connection, clientOf, type KnexClient, type KnexContainer, type KnexStatement } from '../knex/knex-client'
import { refusalAfterEnd } from '../knex/transaction-end'
import { Mutex } from '../runtime/mutex'
import { type Asker, askedBy, awaitWithin, currentFrame, type Frame, framesFrom, runWithin } from '../unit-of-work/context'
import type { Place } from '../unit-of-work/place'
import { isRead, Scope, type ScopeRules } from '../unit-of-work/scope'
import { streamClientOf } from '../unit-of-work/stream-client'
import { beginTransaction, type OpenTransaction } from '../unit-of-work/transaction'
import { unitOf } from '../unit-of-work/unit'

/** The rules of a test's transaction. */
export interface TestRules {
  /** True if the database refuses all statements of a transaction after a failed one. */
  readonly failureAborts: boolean
  /** Makes the error for a statement after the end. */
  readonly refusal: () => Error
  /** Throws if the statement may not be sent. */
  readonly admit: (statement: KnexStatement) => void
}

/**
 * The code that ends a transaction. `'application'`: it ends without waiting for other transactions. `'test'`: the test may wait for
 * requests before it ends. `'handle'`: it is ended by hand, and its code may wait for anything before.
 */
type Holder = 'application' | 'test' | 'handle'

interface Held {
  readonly scope: Scope
  readonly holder: Holder
}

/** The frame of the code in a transaction with a function. */
class ScopeFrame implements Frame {
  readonly outer = currentFrame()
}

/**
 * One transaction on one connection, which the application under test uses like a pool. A transaction of the application is a savepoint. It
 * is inside the transaction whose code begins it, else inside a transaction that the test holds open. Savepoints at the same level run one
 * at a time. Statements that write wait for them too, so that the rollback of other code does not undo such a statement.
 */
export class TestTransaction implements Place {
  isOver = false
  readonly #scopes = new WeakMap<Frame, Scope>()
  readonly #mutexes = new WeakMap<Scope, Mutex>()
  readonly #held: Held[] = []
  readonly #releases: (() => void)[] = []
  #opening: Promise<Scope> | undefined
  #transaction: OpenTransaction | undefined

  constructor(
    private readonly knex: Knex,
    private readonly rules: TestRules
  ) {}

  async run<T>(work: (client: KnexClient) => Promise<T>, method?: string): Promise<T> {
    const root = await this.#open()
    const run = () => work(clientOf(root.trx))
    return isRead(method) ? run() : this.#mutexOf(this.#around(currentFrame(), 'application') ?? root).run(run)
  }

  streamClient(): KnexClient {
    return streamClientOf(clientOf(this.knex), async () => clientOf((await this.#open()).trx))
  }

  streamed(): void {
    // A stream ends with the transaction.
  }

  /** Serves code that uses a connection without Knex. The code holds the mutex until it gives the connection back. */
  async acquireConnection(): Promise<Connection> {
    const root = await this.#open()
    await new Promise<void>((resolve) => {
      const turn = () => new Promise<void>((release) => resolve(void this.#releases.push(release)))
      this.#mutexOf(this.#around(currentFrame(), 'application') ?? root).run(turn)
    })
    return clientOf(root.trx).acquireConnection()
  }

  async releaseConnection(): Promise<void> {
    this.#releases.shift()?.()
  }

  /** Begins a transaction for a function, or for a unit of work. */
  transaction(container: KnexContainer, config: (object & { [askedBy]?: Asker }) | undefined): Promise<unknown> {
    const asker = config?.[askedBy]
    if (asker) {
      const holder = unitOf(asker.frame)?.kind === 'run' ? 'test' : 'application'
      return this.#nest(asker, holder, config, container)
    }
    const frame = new ScopeFrame()
    return this.#nest({ frame, within: frame.outer }, 'application', config, (trx) => awaitWithin(frame, () => container(trx)))
  }

  /** Begins a transaction that is ended by hand. */
  handle(config: object | undefined): Promise<Knex.Transaction> {
    const frame = new ScopeFrame()
    return new Promise((resolve, reject) => {
      this.#nest({ frame, within: frame.outer }, 'handle', config, (trx) => resolve(trx)).catch(reject)
    })
  }

  async rollBack(): Promise<void> {
    this.isOver = true
    const scope = await this.#opening?.catch(() => undefined)
    if (scope) scope.refusal = this.rules.refusal
    await this.#transaction?.rollback()
    this.#transaction = undefined
  }

  async #nest({ frame, within }: Asker, holder: Holder, config: object | undefined, container: KnexContainer): Promise<unknown> {
    const root = await this.#open()
    const parent = this.#around(within, holder) ?? root
    return this.#mutexOf(parent).run(async () => {
      // The parent has ended while this transaction waited for its turn.
      if (parent !== root && parent.trx.isCompleted()) return this.#nest({ frame, within }, holder, config, container)
      // Begun by the client of the parent. If the parent itself began it, the end of the parent would also end it.
      return clientOf(parent.trx).transaction((trx) => {
        const scope = Scope.of(trx) ?? parent
        this.#scopes.set(frame, scope)
        this.#hold({ scope, holder })
        this.#endWithTest(trx)
        return container(trx)
      }, config)
    })
  }

  /** Returns the open transaction that the next one of `frame` must be inside of. To wait for its end could take for ever. */
  #around(frame: Frame | undefined, holder: Holder): Scope | undefined {
    for (const outer of framesFrom(frame)) {
      const scope = this.#scopes.get(outer)
      if (scope && !scope.trx.isCompleted()) return scope
    }
    return this.#held.findLast((held) => held.holder === 'handle' || (held.holder === 'test' && holder === 'application'))?.scope
  }

  #mutexOf(scope: Scope): Mutex {
    let mutex = this.#mutexes.get(scope)
    if (mutex === undefined) {
      mutex = new Mutex()
      this.#mutexes.set(scope, mutex)
    }
    return mutex
  }

  #hold(held: Held): void {
    this.#held.push(held)
    const ended = () => void this.#held.splice(this.#held.indexOf(held), 1)
    held.scope.trx.executionPromise.then(ended, ended)
  }

  /** Ends `trx` with the test's transaction. Knex does not know that it is nested, so Knex would not notice this end. */
  #endWithTest(trx: Knex.Transaction): void {
    const { isCompleted } = trx
    trx.isCompleted = () => this.isOver || isCompleted()
    Object.defineProperty(trx, refusalAfterEnd, { get: () => (this.isOver ? this.rules.refusal : undefined) })
  }

  #open(): Promise<Scope> {
    if (this.isOver) return Promise.reject(this.rules.refusal())
    this.#opening ??= this.#begin().catch((error) => {
      this.#opening = undefined
      throw error
    })
    return this.#opening
  }

  async #begin(): Promise<Scope> {
    // Outside of any frame: the transaction belongs to the whole test, not to the code that makes the first statement.
    this.#transaction = await runWithin(undefined, () => beginTransaction(this.knex, undefined))
    return new Scope(this.#transaction.trx, this.#rules(), this.#transaction.undo)
  }

  #rules(): ScopeRules {
    const { failureAborts, admit } = this.rules
    const nested: ScopeRules = {
      failureIsFinal: failureAborts,
      commitAfterFailure: 'empty',
      bystandersFail: false,
      ends: 'after nested',
      guardsStatements: false,
      admit,
      get nested() {
        return nested
      }
    }
    return { ...nested, failureIsFinal: false, guardsStatements: failureAborts, nested }
  }
}
