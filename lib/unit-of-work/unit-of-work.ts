import type { Store } from 'express-session'
import type { Knex } from 'knex'
import type { PreparedTransaction } from '../dialects/work-dialect'
import { InvalidOptionError } from '../errors'
import { clientOf } from '../knex/knex-client'
import { awaitWithin, currentFrame, type Frame, framesFrom } from './context'
import { NoUnitError } from './errors'
import { type FastifyPlugin, fastifyPlugin } from './fastify-plugin'
import { type ErrorMiddleware, errorMiddleware, type Middleware, middleware } from './middleware'
import {
  checkUnitOptions,
  type JobOptions,
  type ResolvedWorkOptions,
  resolveWorkOptions,
  type UnitOfWorkOptions,
  type UnitOptions
} from './options'
import { type Place, Pool } from './place'
import { placedKnex } from './placed-knex'
import { storeInUnit } from './store-in-unit'
import { StoresInUnits } from './stores-in-units'
import { finishPrepared, recoverPrepared } from './two-phase'
import { Unit, type UnitKind, unitOf } from './unit'

/** A frame that hides the units of one Knex from the code within it. */
class Outside implements Frame {
  readonly outer = currentFrame()
  readonly isOver = true

  constructor(readonly owner: object) {}
}

/**
 * Gives each request, job or script its own transaction, without passing it around. Call this once for each Knex, when the application
 * starts.
 *
 * @param knex a Knex instance. In tests: the Knex of `rolledBack(knex)`, or a transaction, in which each unit is a savepoint
 * @throws {InvalidOptionError} or `UnknownOptionError` if an option is wrong
 * @example
 * import { unitOfWork } from 'knex-session-store/unit-of-work'
 *
 * const work = unitOfWork(knex)
 * app.use(session({ store, secret, resave: false, saveUninitialized: false }))
 * app.use(work.middleware())
 * app.post('/orders', async (req, res) => {
 *   await work.db('orders').insert(req.body) // in this request's transaction
 *   res.redirect('/orders') // commits, then redirects
 * })
 */
export function unitOfWork(knex: Knex, options: UnitOfWorkOptions = {}): UnitOfWork {
  return new UnitOfWork(resolveWorkOptions(knex, options))
}

/** Made by {@link unitOfWork}. */
export class UnitOfWork {
  /**
   * A Knex that runs each statement in the unit of work of the code that awaits it. Outside of a unit it is the pool, or throws
   * {@link NoUnitError}, as the option `outsideUnit` says; after the unit's end it throws {@link UnitEndedError}.
   */
  readonly db: Knex
  readonly #options: ResolvedWorkOptions
  readonly #pool: Place
  readonly #owner: object
  readonly #stores: StoresInUnits

  /** @internal */
  constructor(options: ResolvedWorkOptions) {
    this.#options = options
    this.#owner = clientOf(options.knex)
    this.#stores = new StoresInUnits(this.#owner, () => this.current)
    this.#pool = new Pool(clientOf(options.knex))
    this.db = placedKnex(options.knex, () => this.#place(), {})
  }

  /** The unit of the running code; undefined outside of a unit. It may have ended. */
  get current(): Unit | undefined {
    return unitOf(this.#frame())
  }

  /**
   * Middleware for Express 4 and 5, and everything else that takes `(req, res, next)`. It gives each request a unit, also as `req.work`.
   * The unit commits before the first byte of the response leaves, if `commitWhen(res)` is true. Otherwise, and if the client goes away, it
   * rolls back. If the commit fails, the error handlers of the application get the error, with status 500.
   *
   * Mount it after `session()`.
   *
   * @example
   * app.use(session({ store, secret, resave: false, saveUninitialized: false }))
   * app.use(work.middleware())
   */
  middleware(): Middleware {
    return middleware(this.#options, () => this.#begin('request', {}))
  }

  /**
   * Rolls back when a handler throws, whatever the error handlers after it respond: without this middleware, an error handler that
   * redirects makes the request a success. Mount it after the routes, before the error handlers.
   *
   * @example
   * app.use(work.errorMiddleware())
   */
  errorMiddleware(): ErrorMiddleware {
    return errorMiddleware()
  }

  /**
   * The same as a plugin for Fastify: each request has its unit in `request.work`. Register it before `@fastify/session`.
   *
   * @example
   * await fastify.register(work.fastifyPlugin())
   */
  fastifyPlugin(): FastifyPlugin {
    return fastifyPlugin(this.#options, () => this.#begin('request', {}))
  }

  /**
   * Returns the session store for `session: 'atomic'` in Fastify, where the middleware cannot exchange the store for each request.
   *
   * @throws {AtomicSessionError} for a store that cannot be in a transaction
   * @example
   * await fastify.register(fastifySession, { store: work.sessionStore(store), secret })
   */
  sessionStore<SessionStore extends Pick<Store, 'get' | 'set' | 'destroy'>>(store: SessionStore): SessionStore {
    return storeInUnit(store, () => this.current, this.#stores)
  }

  /**
   * Runs `work` in a unit: commits when it returns, rolls back and rethrows when it throws. Inside a unit it is a savepoint, whose failure
   * undoes only itself.
   *
   * @example
   * await work.run(async () => {
   *   const [{ id }] = await work.db('orders').insert(order).returning('id')
   *   await work.db('payments').insert({ order_id: id })
   * })
   */
  async run<T>(work: (unit: Unit) => T | PromiseLike<T>, options: UnitOptions = {}): Promise<T> {
    checkUnitOptions(options)
    return this.#perform(this.#begin('run', options), work)
  }

  /**
   * Runs one job of a queue in a unit of its own, even if the queue calls it from within the unit that added the job. It commits when the
   * job returns and rolls back when it throws: the queue will try a failed job again, and has to find everything as it was. With `commitOn:
   * 'always'`, work before the throw is kept, for jobs that record their progress. A failed statement rolls back all the same.
   *
   * @example
   * await work.job(async () => {
   *   await work.db('invoices').where({ sent: false }).update({ sent: true })
   * })
   */
  async job<T>(work: (unit: Unit) => T | PromiseLike<T>, options: JobOptions = {}): Promise<T> {
    checkUnitOptions(options, ['commitOn'])
    const { commitOn = 'return', ...unitOptions } = options
    if (!['return', 'always'].includes(commitOn)) throw new InvalidOptionError('commitOn', "'return' or 'always'", commitOn)
    const unit = this.#make('job', unitOptions, undefined)
    return this.#perform(unit, work, commitOn === 'always')
  }

  /**
   * Runs `work` outside of any unit. Its statements go to the pool, and are kept even if the unit around rolls back.
   *
   * @example
   * await work.outside(() => work.db('attempts').insert({ name: req.session.name }))
   */
  outside<T>(work: () => PromiseLike<T>): Promise<T>
  outside<T>(work: () => T): T
  outside<T>(work: () => T): T | Promise<Awaited<T>> {
    return awaitWithin(new Outside(this.#owner), work)
  }

  /**
   * Returns the function, bound to the unit of the running code. For callbacks that shared code calls in any context.
   *
   * @example
   * req.on('end', work.bind(() => work.db('uploads').insert({ path: req.path })))
   */
  bind<Arguments extends unknown[], Result>(callback: (...args: Arguments) => Result): (...args: Arguments) => Result {
    const frame = currentFrame()
    return (...args) => awaitWithin(frame, () => callback(...args)) as Result
  }

  /**
   * Prepares the unit of the running code for a two-phase commit: see {@link Unit.prepare}.
   *
   * @throws {NoUnitError} outside of a unit
   * @example
   * await work.run(() => work.prepare(), { xid: 'order-7' })
   */
  async prepare(xid?: string): Promise<void> {
    const unit = this.current
    if (unit === undefined) throw new NoUnitError()
    await unit.prepare(xid)
  }

  /**
   * Commits a transaction that was prepared under `xid`, here or in another process, before or after a crash.
   *
   * @throws {UnknownXidError} if nothing is prepared under it
   * @example
   * await work.commitPrepared('order-7')
   */
  commitPrepared(xid: string): Promise<void> {
    return finishPrepared(this.#options.dialect, this.#options.knex, 'commitPrepared', xid)
  }

  /**
   * Rolls back a transaction that was prepared under `xid`.
   *
   * @throws {UnknownXidError} if nothing is prepared under it
   * @example
   * await work.rollbackPrepared('order-7')
   */
  rollbackPrepared(xid: string): Promise<void> {
    return finishPrepared(this.#options.dialect, this.#options.knex, 'rollbackPrepared', xid)
  }

  /**
   * Returns the transactions that were prepared and never finished. Each holds its locks until it is committed or rolled back.
   *
   * @example
   * for (const { xid } of await work.recover()) await work.rollbackPrepared(xid)
   */
  recover(): Promise<PreparedTransaction[]> {
    return recoverPrepared(this.#options.dialect, this.#options.knex)
  }

  #place(): Place {
    const frame = this.#frame()
    const unit = unitOf(frame)
    if (unit) return unit.place
    if (frame === undefined && this.#options.outsideUnit === 'throw') throw new NoUnitError()
    return this.#pool
  }

  /** Returns the innermost frame of our Knex. */
  #frame(): Frame | undefined {
    for (const frame of framesFrom(currentFrame())) if (frame.owner === this.#owner) return frame
    return undefined
  }

  #begin(kind: UnitKind, options: UnitOptions): Unit {
    const around = this.current
    const parent = around?.admits ? around : undefined
    const [given] = Object.keys(options)
    if (parent && given)
      throw new InvalidOptionError(
        given,
        'given to the outermost unit of work, because this one is nested in it',
        options[given as keyof UnitOptions]
      )
    return this.#make(kind, options, parent)
  }

  #make(kind: UnitKind, options: UnitOptions, parent: Unit | undefined): Unit {
    const { knex, dialect, isolation, readOnly } = this.#options
    return new Unit({ isolation, readOnly, ...options, knex, dialect, kind, parent, owner: this.#owner, stores: this.#stores })
  }

  async #perform<T>(unit: Unit, work: (unit: Unit) => T | PromiseLike<T>, always = false): Promise<T> {
    let result: T
    try {
      result = await awaitWithin(unit, () => work(unit))
    } catch (error) {
      await this.#endFailed(unit, always)
      throw error
    }
    if (unit.state === 'open') await unit.commit()
    return result
  }

  async #endFailed(unit: Unit, always: boolean): Promise<void> {
    if (unit.state !== 'open') return
    if (always && !unit.isRollbackOnly) await unit.commit()
    else await unit.rollback()
  }
}
