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

/** What a test's transaction is made with. */
export interface TestRules {
  /** A failed statement makes the database refuse all others. */
  readonly failureAborts: boolean
  /** Makes the error for a statement after the end. */
  readonly refusal: () => Error
  /** Throws for a statement that may not be sent. */
  readonly admit: (statement: KnexStatement) => void
}

/** What holds a transaction: `'application'` ends it by itself, `'test'` waits for requests, `'handle'` may wait for anything. */
type Holder = 'application' | 'test' | 'handle'

interface Held {
  readonly scope: Scope
  readonly holder: Holder
}

/** Stands for the code in a transaction that was begun with a function. */
class ScopeFrame implements Frame {
  readonly outer = currentFrame()
}

/**
 * One transaction on one connection, which the application under test takes for a pool. Transactions of the application are savepoints:
 * inside the one whose code begins it, else inside one that the test itself holds open. There they run one at a time. So does a statement
 * that writes, so that it is not undone with the savepoint of other code.
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
    // It ends with the transaction.
  }

  /** For statements that Knex does not see. Code that has the connection holds the mutex until it gives the connection back. */
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

  /** A transaction that ends with a function, or that a unit of work has asked for. */
  transaction(container: KnexContainer, config: (object & { [askedBy]?: Asker }) | undefined): Promise<unknown> {
    const asker = config?.[askedBy]
    if (asker) {
      const holder = unitOf(asker.frame)?.kind === 'run' ? 'test' : 'application'
      return this.#nest(asker, holder, config, container)
    }
    const frame = new ScopeFrame()
    return this.#nest({ frame, within: frame.outer }, 'application', config, (trx) => awaitWithin(frame, () => container(trx)))
  }

  /** A transaction that is ended by hand. */
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
      // Ended while this one waited for its turn there.
      if (parent !== root && parent.trx.isCompleted()) return this.#nest({ frame, within }, holder, config, container)
      // By the client: if it were begun by the transaction, one that ends before the transactions inside it would end them too.
      return clientOf(parent.trx).transaction((trx) => {
        const scope = Scope.of(trx) ?? parent
        this.#scopes.set(frame, scope)
        this.#hold({ scope, holder })
        this.#endWithTest(trx)
        return container(trx)
      }, config)
    })
  }

  /** The open transaction that one of `frame` has to be inside of, because waiting for its end would be waiting for ever. */
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

  /** For Knex it is nested in no other, so Knex does not know that it is over when the test's transaction is. */
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
    // The frames of the first caller are not those of the whole test.
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
