import { AsyncLocalStorage } from 'node:async_hooks'
import { isPromiseLike } from '../runtime/maybe-promise'

/** What code runs within: a unit of work, a stretch outside of any, a scope of a test's transaction. Frames form a chain. */
export interface Frame {
  /** What surrounds it. */
  readonly outer: Frame | undefined
  /**
   * The Knex client whose transactions the frame is about: the same for every `UnitOfWork` of one Knex, and for every copy of this module.
   */
  readonly owner?: object
  /** True for a unit of work, also one that another copy of this module made. */
  readonly isUnit?: boolean
  /** True for a frame that stands for no transaction, or for one that is over. */
  readonly isOver?: boolean
  /** True while it has a connection of the pool to itself. */
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
 * A key of the configuration given to `knex.transaction()`, with an {@link Asker}. A Knex does not look at it; the test's transaction of
 * `rolledBack` does, for there the units of all requests share one connection.
 */
export const askedBy = Symbol.for('knex-session-store/asked-by')

// On globalThis, so that a second copy of this module (module reset, hot reload, two installed versions) sees the same. The number is that
// of the shape of all that is kept there, a frame's and a unit's members among it: copies that differ in it see nothing of each other.
const KEY = Symbol.for('knex-session-store/unit-of-work@1')
const holder = globalThis as { [KEY]?: Map<string, unknown> }
holder[KEY] ??= new Map()
const shared = holder[KEY]

/** What all copies of this module share under this name. The first copy makes it. */
export function sharedByCopies<T>(name: string, make: () => T): T {
  if (!shared.has(name)) shared.set(name, make())
  return shared.get(name) as T
}

const frames = sharedByCopies('frames', () => new AsyncLocalStorage<Frame | undefined>())

/** The innermost frame of the code that asks. */
export function currentFrame(): Frame | undefined {
  return frames.getStore()
}

/** Runs `work`, and everything that it starts, within `frame`. */
export function runWithin<T>(frame: Frame | undefined, work: () => T): T {
  return frames.run(frame, work)
}

/**
 * The same for what returns a promise, or a builder of Knex: that does nothing before it is awaited, and has to be awaited within the
 * frame. Anything else is given as it is.
 */
export function awaitWithin<T>(frame: Frame | undefined, work: () => T): T | Promise<Awaited<T>> {
  return runWithin(frame, () => {
    const result = work()
    if (!isPromiseLike(result)) return result
    return new Promise<Awaited<T>>((resolve, reject) => result.then(resolve as (value: unknown) => void, reject))
  })
}

/** The frame and the frames around it, the innermost first. */
export function* framesFrom(frame: Frame | undefined): Generator<Frame> {
  for (let next = frame; next !== undefined; next = next.outer) yield next
}

/**
 * Lets every listener of an emitter run within `frame`. Events come in the context of whatever caused them: for a request's body that is
 * the socket, for the rows of a stream the connection, which another request may have opened.
 */
export function emitWithin(emitter: NodeJS.EventEmitter, frame: Frame): void {
  const { emit } = emitter
  emitter.emit = function (this: NodeJS.EventEmitter, ...event: Parameters<typeof emit>) {
    return runWithin(frame, () => emit.apply(this, event))
  }
}
