import { once } from 'node:events'
import { Worker } from 'node:worker_threads'

/** Milliseconds, the same in each thread. */
export const now = () => Number(process.hrtime.bigint()) / 1e6

/**
 * Calls begin at their time, whether or not those before have ended. The wait of a call counts from the time at which it had to begin.
 * `rate` a second, evenly spaced, or as Poisson's with a `seed`.
 */
export class OpenLoop {
  constructor(work, { rate, seed }) {
    this.work = work
    this.arrivals = { rate, seed }
  }

  /**
   * Until the promise of `begin` resolves, which is called when the clock is ready; then waits for the calls under way. Answers their waits,
   * sorted, how many were answered before the end, the errors, and the CPU of this process.
   */
  async during(begin) {
    this.waits = []
    this.errors = []
    const running = []
    const ended = new Int32Array(new SharedArrayBuffer(4))
    const clock = new Worker(new URL('./arrivals.mjs', import.meta.url), { workerData: { ...this.arrivals, ended } })
    try {
      await once(clock, 'message')
      clock.on('message', (due) => !ended[0] && running.push(this.call(due)))
      const cpu = process.cpuUsage()
      clock.postMessage('begin')
      await begin()
      Atomics.store(ended, 0, 1)
      Atomics.notify(ended, 0)
      const answered = this.waits.length
      await Promise.all(running)
      const { user, system } = process.cpuUsage(cpu)
      return { waits: this.waits.sort((a, b) => a - b), answered, errors: this.errors, cpuMs: (user + system) / 1000 }
    } finally {
      await clock.terminate()
    }
  }

  async call(due) {
    try {
      await this.work()
      this.waits.push(now() - due)
    } catch (error) {
      this.errors.push(error)
    }
  }
}
