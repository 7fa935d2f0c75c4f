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
 * Waits for the turn to write, in a database where only one transaction can write at a time. A unit takes its turn before its connection.
 * Otherwise waiting units could hold all connections, and the unit that writes would find none for its work outside of its transaction.
 *
 * A unit waits at most as long as for a connection of the pool, and never for a unit around it. After that the lock of the database file
 * decides.
 *
 * @param frame the unit
 * @param within the frame of the code that needs the turn
 * @returns a function that gives the turn back
 */
export async function takeWriteTurn(client: KnexClient, frame: Frame, within: Frame | undefined): Promise<() => void> {
  // No turn is needed: a pool of one connection is a queue itself, and so is a test's transaction.
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
