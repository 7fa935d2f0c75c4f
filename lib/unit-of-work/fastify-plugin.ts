import { type IncomingMessage, type OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { emitWithin, runWithin } from './context'
import { AtomicSessionError, SessionOrderError } from './errors'
import type { DecidedResponse, ResolvedWorkOptions } from './options'
import { ResponseProbe } from './response-probe'
import { isStoreInUnit } from './store-in-unit'
import type { Unit } from './unit'

/** The part of Fastify's request that is used here. */
export interface WorkRequest {
  work: Unit
  readonly raw: IncomingMessage
  readonly sessionStore?: object
  session?: FastifySession | null
}

/** The part of Fastify's reply that is used here. */
export interface WorkReply {
  readonly statusCode: number
  readonly raw: ServerResponse
  getHeaders(): OutgoingHttpHeaders
}

type Hook = (request: WorkRequest, reply: WorkReply, ...rest: never[]) => unknown

/** The part of a Fastify instance that is used here. It is not Fastify's own type, so that this package compiles without Fastify. */
export interface WorkFastify {
  decorateRequest(name: string, value: null): unknown
  hasRequestDecorator(name: string): boolean
  addHook(name: string, hook: Hook): unknown
}

/** A plugin for `fastify.register()`. */
// biome-ignore lint/suspicious/noExplicitAny: Fastify's own type of an instance has four parameters that we know nothing of
export type FastifyPlugin = (fastify: any, options: object, done: (error?: Error) => void) => void

/** The part of the session of `@fastify/session` that is used here. */
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
          'the session plugin was registered before work.fastifyPlugin(); register work.fastifyPlugin() first, so that it commits before the session is saved'
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
  // Does what the package fastify-plugin does. Without this, Fastify would run the hooks only for routes inside of this plugin.
  return Object.assign(plugin, {
    [Symbol.for('skip-override')]: true,
    [Symbol.for('fastify.display-name')]: 'knex-session-store/unit-of-work'
  })
}

class Hooks {
  /** Units of requests with an error. They are rolled back, whatever the response is. */
  readonly #failed = new WeakSet<Unit>()
  readonly #failedToCommit = new WeakSet<Unit>()
  /** Units of requests whose client has gone away, or whose response is over. */
  readonly #abandoned = new WeakSet<Unit>()

  constructor(
    private readonly options: ResolvedWorkOptions,
    private readonly begin: () => Unit
  ) {}

  readonly onRequest = (request: WorkRequest, reply: WorkReply, done: () => void): void => {
    const unit = this.begin()
    request.work = unit
    emitWithin(request.raw, unit)
    emitWithin(reply.raw, unit)
    const abandon = () => {
      this.#abandoned.add(unit)
      if (!unit.isOver) void unit.rollback()
    }
    reply.raw.once('close', abandon)
    if (reply.raw.destroyed) abandon()
    runWithin(unit, done)
  }

  /** Enters the unit again: before this hook Fastify has read the body, in the async context of the socket. */
  readonly preValidation = (request: WorkRequest, _reply: WorkReply, done: (error?: Error) => void): void => {
    runWithin(request.work, () => done(this.#refusal(request)))
  }

  readonly onError = async (request: WorkRequest): Promise<void> => {
    this.#failed.add(request.work)
  }

  readonly onSend = async (request: WorkRequest, reply: WorkReply, payload: unknown): Promise<unknown> => {
    // The payload may stream rows of the unit. So the unit ends after the last row was read and before the response ends.
    if (request.work.inProgress.isStreaming && payload instanceof Readable) {
      return Readable.from(
        endingWith(payload, () => this.#end(request, reply, payload)),
        { objectMode: false }
      )
    }
    await this.#end(request, reply, payload)
    return payload
  }

  async #end(request: WorkRequest, reply: WorkReply, payload: unknown): Promise<void> {
    const { work: unit } = request
    const isAtomic = this.options.session === 'atomic'
    if (unit.state === 'open') {
      const commits = !this.#failed.has(unit) && isSendable(payload) && this.options.commitWhen(decided(reply, payload))
      if (commits) refuseInvalidHead(reply, payload)
      await (commits ? this.#commit(unit, isAtomic ? request : undefined) : unit.rollback())
    }
    // Without a session, the session plugin saves nothing and sets no cookie.
    if (unit.state === 'rolled back' && request.session && (isAtomic || this.#failedToCommit.has(unit))) request.session = null
  }

  /** @param request the request whose session is saved in the unit */
  async #commit(unit: Unit, request: WorkRequest | undefined): Promise<void> {
    try {
      // Work that the handlers did not await may still change the session, or fail.
      await unit.settled()
      const session = request?.session
      if (unit.hasBegun && session?.isModified?.()) {
        session.touch?.()
        await session.save?.()
      }
      await unit.commit()
    } catch (error) {
      this.#failedToCommit.add(unit)
      await unit.rollback()
      if (!this.#abandoned.has(unit)) throw error
    }
  }

  #refusal({ sessionStore }: WorkRequest): Error | undefined {
    if (this.options.session !== 'atomic' || sessionStore === undefined || isStoreInUnit(sessionStore)) return undefined
    return new AtomicSessionError(
      "session: 'atomic' needs a store that writes in the unit of work; register the session plugin with { store: work.sessionStore(store) }"
    )
  }
}

/** False for a payload that Fastify refuses after its hooks: the response would be an error, so the unit must not commit. */
function isSendable(payload: unknown): boolean {
  if (payload === undefined || payload === null || typeof payload === 'string') return true
  return typeof payload === 'object' && (Buffer.isBuffer(payload) || isResponse(payload) || 'pipe' in payload || 'getReader' in payload)
}

/** True for a `Response` of the Fetch API. Fastify takes its status and headers after the hooks. */
function isResponse(payload: unknown): payload is Response {
  return Object.prototype.toString.call(payload) === '[object Response]'
}

function decided(reply: WorkReply, payload: unknown): DecidedResponse {
  return isResponse(payload) ? Object.create(reply, { statusCode: { value: payload.status } }) : reply
}

/** Throws the error that Node would throw for this head. Without this, Node would throw it after the commit. */
function refuseInvalidHead(reply: WorkReply, payload: unknown): void {
  // A response that was sent already, or that is HTTP/2, cannot be checked.
  if (!(reply.raw instanceof ServerResponse) || reply.raw.headersSent) return
  const { statusCode } = decided(reply, payload)
  new ResponseProbe(reply.raw).try('writeHead', [statusCode, reply.getHeaders()])
}

async function* endingWith(payload: Readable, end: () => Promise<void>): AsyncGenerator<unknown> {
  yield* payload
  await end()
}
