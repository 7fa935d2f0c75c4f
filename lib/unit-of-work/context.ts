import { AsyncLocalStorage } from 'node:async_hooks'
import { isPromiseLike } from '../runtime/maybe-promise'

/** What code runs within: a unit of work, a stretch outside of all units, or a scope of a test's transaction. Frames form a chain. */
export interface Frame {
  /** The frame around this one. */
  readonly outer: Frame | undefined
  /**
   * The Knex client that the frame belongs to. It is the same for every `UnitOfWork` of one Knex, and in every copy of this module.
   */
  readonly owner?: object
  /** True for a unit of work, also if another copy of this module has made it. */
  readonly isUnit?: boolean
  /** True if the frame has no transaction, or if its transaction is over. */
  readonly isOver?: boolean
  /** True while the frame has a connection of the pool. */
  readonly holdsConnection?: boolean
}

/** The code that needs a transaction. */
export interface Asker {
  /** The frame that the transaction is for. */
  readonly frame: Frame
  /** The frame of the code that needed it. */
  readonly within: Frame | undefined
}

/**
 * A key in the configuration of `knex.transaction()`, whose value is an {@link Asker}. Knex ignores it. The test's transaction of
 * `rolledBack` reads it, because there the units of all requests share one connection.
 */
export const askedBy = Symbol.for('knex-session-store/asked-by')

// On globalThis, so that every copy of this module (after a module reset or a hot reload, or of another version) shares it. The number
// stands for the shape of everything that is kept there, also of frames and units. Copies with different numbers do not see each other.
const KEY = Symbol.for('knex-session-store/unit-of-work@1')
const holder = globalThis as { [KEY]?: Map<string, unknown> }
holder[KEY] ??= new Map()
const shared = holder[KEY]

/** Returns the value that all copies of this module share under this name. The first call makes it. */
export function sharedByCopies<T>(name: string, make: () => T): T {
  if (!shared.has(name)) shared.set(name, make())
  return shared.get(name) as T
}

const frames = sharedByCopies('frames', () => new AsyncLocalStorage<Frame | undefined>())

/** Returns the innermost frame of the code that calls this. */
export function currentFrame(): Frame | undefined {
  return frames.getStore()
}

/** Runs `work`, and everything that it starts, within `frame`. */
export function runWithin<T>(frame: Frame | undefined, work: () => T): T {
  return frames.run(frame, work)
}

/**
 * Does the same, and also awaits the result within the frame: a builder of Knex does nothing before it is awaited. A result that cannot be
 * awaited is returned as it is.
 */
export function awaitWithin<T>(frame: Frame | undefined, work: () => T): T | Promise<Awaited<T>> {
  return runWithin(frame, () => {
    const result = work()
    if (!isPromiseLike(result)) return result
    return new Promise<Awaited<T>>((resolve, reject) => result.then(resolve as (value: unknown) => void, reject))
  })
}

/** Yields the frame and the frames around it, the innermost first. */
export function* framesFrom(frame: Frame | undefined): Generator<Frame> {
  for (let next = frame; next !== undefined; next = next.outer) yield next
}

/**
 * Makes every listener of an emitter run within `frame`. Otherwise listeners run in the async context of the cause of the event. For the
 * body of a request this is the socket. For the rows of a stream it is the connection, which another request may have opened.
 */
export function emitWithin(emitter: NodeJS.EventEmitter, frame: Frame): void {
  const { emit } = emitter
  emitter.emit = function (this: NodeJS.EventEmitter, ...event: Parameters<typeof emit>) {
    return runWithin(frame, () => emit.apply(this, event))
  }
}
