// The clock of an open loop, in a thread of its own: a timer of Node has 1 ms at best, and a loop that turns until it is time would take a core.
import { parentPort, workerData } from 'node:worker_threads'
import { now } from './open-loop.mjs'
import { seededRandom } from './session.mjs'

const { rate, seed, ended } = workerData
const random = seed === undefined ? undefined : seededRandom(seed)
parentPort.once('message', () => {
  for (let due = now() + gap(); !Atomics.load(ended, 0); due += gap()) {
    const rest = due - now()
    if (rest > 0 && Atomics.wait(ended, 0, 0, rest) !== 'timed-out') return
    parentPort.postMessage(due)
  }
})
parentPort.postMessage('ready')

/** Milliseconds to the next arrival. */
function gap() {
  return (1000 / rate) * (random ? -Math.log(1 - random()) : 1)
}
