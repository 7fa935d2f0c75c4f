import type { KnexClient } from '../knex/knex-client'
import { getOrMake } from '../runtime/get-or-make'
import { Mutex } from '../runtime/mutex'
import { startAwaitedTimer } from '../runtime/natives'
import { nothing } from '../runtime/nothing'
import { type Frame, framesFrom, sharedByCopies } from './context'
import { nativeClient } from './placed-knex'

/** Knex's own default, in milliseconds. */
const ACQUIRE_MS = 60_000

const mutexes = sharedByCopies('write mutexes', () => new WeakMap<object, Mutex>())
const holders = sharedByCopies('holders of write turns', () => new WeakSet<Frame>())

/**
 * Takes the turn to write, in databases where only one transaction can write at a time. Units take it before they take a connection. If
 * they waited for each other with connections in hand, the writing unit could find none for its work outside of its transaction.
 *
 * A unit waits no longer than for a connection of the pool, and never for a unit that it is begun within. Then the lock of the file
 * decides.
 *
 * @param frame the unit
 * @param within the frame of the code that needs the turn
 * @returns the function that gives the turn back
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
