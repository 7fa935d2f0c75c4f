import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { emitWithin, runWithin } from './context'
import { AtomicSessionError, SessionOrderError } from './errors'
import type { ResolvedWorkOptions } from './options'
import { isStoreInUnit } from './store-in-unit'
import type { Unit } from './unit'

/** What of Fastify's request is used here. */
export interface WorkRequest {
  work: Unit
  readonly raw: IncomingMessage
  readonly sessionStore?: object
  session?: FastifySession | null
}

/** What of Fastify's reply is used here. */
export interface WorkReply {
  readonly statusCode: number
  readonly raw: ServerResponse
}

type Hook = (request: WorkRequest, reply: WorkReply, ...rest: never[]) => unknown

/** What of a Fastify instance is used here; not its own type, so that this package needs no Fastify to compile. */
export interface WorkFastify {
  decorateRequest(name: string, value: null): unknown
  hasRequestDecorator(name: string): boolean
  addHook(name: string, hook: Hook): unknown
}

/** A plugin for `fastify.register()`. */
// biome-ignore lint/suspicious/noExplicitAny: Fastify's own type of an instance has four parameters that we know nothing of
export type FastifyPlugin = (fastify: any, options: object, done: (error?: Error) => void) => void

/** What of the session of `@fastify/session` is used here. */
export interface FastifySession {
  isModified?(): boolean
  touch?(): void
  save?(): Promise<void>
}

export function fastifyPlugin(options: ResolvedWorkOptions, begin: () => Unit): FastifyPlugin {
  const plugin: FastifyPlugin = (fastify: WorkFastify, _options, done) => {
    if (fastify.hasRequestDecorator('session')) {
      done(
        new SessionOrderError(
          'register the plugin of the unit of work before that of the session, so that it commits before the session is saved'
        )
      )
      return
    }
    fastify.decorateRequest('work', null)
    const hooks = new Hooks(options, begin)
    fastify.addHook('onRequest', hooks.onRequest)
    fastify.addHook('preValidation', hooks.preValidation)
    fastify.addHook('onError', hooks.onError)
    fastify.addHook('onSend', hooks.onSend)
    done()
  }
  // What the package fastify-plugin does: the hooks are for the whole application, not for this plugin alone.
  return Object.assign(plugin, {
    [Symbol.for('skip-override')]: true,
    [Symbol.for('fastify.display-name')]: 'knex-session-store/unit-of-work'
  })
}

class Hooks {
  /** Where something was thrown: rolled back whatever is answered. */
  readonly #failed = new WeakSet<Unit>()
  readonly #failedToCommit = new WeakSet<Unit>()

  constructor(
    private readonly options: ResolvedWorkOptions,
    private readonly begin: () => Unit
  ) {}

  readonly onRequest = (request: WorkRequest, reply: WorkReply, done: () => void): void => {
    const unit = this.begin()
    request.work = unit
    emitWithin(request.raw, unit)
    emitWithin(reply.raw, unit)
    reply.raw.once('close', () => {
      if (unit.state === 'open') void unit.rollback()
    })
    runWithin(unit, done)
  }

  /** The body has been read meanwhile, in the context of the socket. */
  readonly preValidation = (request: WorkRequest, _reply: WorkReply, done: (error?: Error) => void): void => {
    runWithin(request.work, () => done(this.#refusal(request)))
  }

  readonly onError = async (request: WorkRequest): Promise<void> => {
    this.#failed.add(request.work)
  }

  readonly onSend = async (request: WorkRequest, reply: WorkReply, payload: unknown): Promise<unknown> => {
    // A payload that streams the unit's own rows: the unit ends with it, and before the last of it is sent.
    if (request.work.place.isStreaming && payload instanceof Readable) {
      return Readable.from(
        endingWith(payload, () => this.#end(request, reply)),
        { objectMode: false }
      )
    }
    await this.#end(request, reply)
    return payload
  }

  async #end(request: WorkRequest, reply: WorkReply): Promise<void> {
    const { work: unit } = request
    const isAtomic = this.options.session === 'atomic'
    if (unit.state === 'open') {
      const commits = !this.#failed.has(unit) && this.options.commitWhen(reply)
      await (commits ? this.#commit(unit, isAtomic ? request.session : undefined) : unit.rollback())
    }
    // Then the session plugin has nothing to save, and sets no cookie.
    if (unit.state === 'rolled back' && request.session && (isAtomic || this.#failedToCommit.has(unit))) request.session = null
  }

  async #commit(unit: Unit, session: FastifySession | null | undefined): Promise<void> {
    try {
      if (unit.hasBegun && session?.isModified?.()) {
        session.touch?.()
        await session.save?.()
      }
      await unit.commit()
    } catch (error) {
      this.#failedToCommit.add(unit)
      await unit.rollback()
      throw error
    }
  }

  #refusal({ sessionStore }: WorkRequest): Error | undefined {
    if (this.options.session !== 'atomic' || sessionStore === undefined || isStoreInUnit(sessionStore)) return undefined
    return new AtomicSessionError("session: 'atomic' needs the store of the session plugin to be work.sessionStore(store)")
  }
}

async function* endingWith(payload: Readable, end: () => Promise<void>): AsyncGenerator<unknown> {
  yield* payload
  await end()
}
