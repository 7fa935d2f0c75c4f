import type { KnexClient } from '../knex/knex-client'
import { getOrMake } from '../runtime/get-or-make'
import { Mutex } from '../runtime/mutex'
import { startAwaitedTimer } from '../runtime/natives'
import { type Frame, framesFrom, sharedByCopies } from './context'
import { nativeClient } from './placed-knex'

/** Knex's own default, in milliseconds. */
const ACQUIRE_MS = 60_000

const mutexes = sharedByCopies('write mutexes', () => new WeakMap<object, Mutex>())
const holders = sharedByCopies('holders of write turns', () => new WeakSet<Frame>())

/**
 * The turn to write, where one transaction alone can. Units take it before they take a connection: if they waited for each other with
 * connections in their hands, the one that writes could find none for what it does outside of its transaction.
 *
 * Nobody waits longer than for a connection of the pool, nor for a unit that it is begun within: then the file's own lock decides.
 *
 * @param frame the unit
 * @param within where the code is that needs it
 * @returns what gives the turn back
 */
export async function takeWriteTurn(client: KnexClient, frame: Frame, within: Frame | undefined): Promise<() => void> {
  // The pool itself is the queue, or a test's transaction.
  if (client.pool?.max === 1 || nativeClient(client) !== client) return nothing
  for (const outer of framesFrom(within)) if (holders.has(outer)) return nothing
  const mutex = getOrMake(mutexes, client, () => new Mutex())
  return new Promise((resolve) => {
    let giveBack = nothing
    const timer = startAwaitedTimer(() => resolve(giveUp), client.config.acquireConnectionTimeout ?? ACQUIRE_MS)
    let isGivenUp = false
    const giveUp = () => {
      isGivenUp = true
      giveBack()
    }
    void mutex.run(() => {
      timer.stop()
      if (isGivenUp) return Promise.resolve()
      return new Promise<void>((done) => {
        giveBack = () => {
          holders.delete(frame)
          done()
        }
        holders.add(frame)
        resolve(giveBack)
      })
    })
  })
}

function nothing(): void {
  // No turn was taken.
}
