import { setImmediate as nextTurn } from 'node:timers/promises'
import { Visitor } from './visitor.mjs'

const VISITORS = 40
/** Every tenth page of a visitor changes the session. The others read it. */
const CHANGE_EVERY = 10

/** Visitors that open one page of a shop after the other, and what happened to their requests. */
export class Load {
  isRunning = false
  /** Counted since the load was started. */
  total = newCounts()
  /** Counted since `take` was last called. */
  #recent = newCounts()
  #statementsTaken = 0
  /** Counted since the last fault. */
  #sinceFault = newCounts()
  #visitors = []
  #chosen
  #isReleased = false
  #done = Promise.resolve()

  constructor(shop) {
    this.shop = shop
  }

  start() {
    if (this.isRunning) return
    this.isRunning = true
    this.total = newCounts()
    this.#recent = newCounts()
    this.#statementsTaken = this.shop.statements()
    this.#visitors = Array.from({ length: VISITORS }, () => new Visitor(this.shop.address))
    this.#done = Promise.all(this.#visitors.map((visitor, number) => this.#browse(visitor, number)))
  }

  async stop() {
    this.isRunning = false
    await this.#done
  }

  /** What happened since the last call, with the statements that the store has sent for it. */
  take() {
    const statements = this.shop.statements()
    const recent = { ...this.#recent, statements: statements - this.#statementsTaken }
    this.#recent = newCounts()
    this.#statementsTaken = statements
    return recent
  }

  /** Returns what is counted from now on, until the next fault. */
  beginFault() {
    this.#sinceFault = newCounts()
    return this.#sinceFault
  }

  /** A visitor that is signed in. Its waits are counted apart, to the end of the request that is under way at its release. */
  chooseVisitor() {
    this.#isReleased = false
    this.#chosen = this.#visitors.find(({ cookie }) => cookie !== undefined)
    return this.#chosen
  }

  releaseVisitor() {
    this.#isReleased = true
  }

  async #browse(visitor, number) {
    for (let page = number; this.isRunning; page++) {
      if (visitor.cookie === undefined) await this.#send(visitor, 'POST', '/sign-in')
      else if (visitor === this.#chosen || page % CHANGE_EVERY === 0) await this.#send(visitor, 'POST', '/change?key=cart')
      else await this.#send(visitor, 'GET', '/page')
      // Leaves the other work of this process its turns.
      await nextTurn()
    }
  }

  async #send(visitor, method, path) {
    const began = performance.now()
    const { status, body } = await visitor.send(method, path)
    const ms = performance.now() - began
    const isChosen = visitor === this.#chosen
    const isSignedOut = status === 200 && body.user === null
    for (const counts of [this.total, this.#recent, this.#sinceFault]) {
      counts.served++
      if (status !== 200) counts.errors++
      if (isSignedOut) counts.signedOut++
      if (isChosen) counts.longestChosenMs = Math.max(counts.longestChosenMs, ms)
      else counts.longestMs = Math.max(counts.longestMs, ms)
    }
    if (isChosen && this.#isReleased) this.#chosen = undefined
    // The session has ended, with its table. A person would sign in again.
    if (isSignedOut) visitor.cookie = undefined
  }
}

function newCounts() {
  return { served: 0, errors: 0, signedOut: 0, longestMs: 0, longestChosenMs: 0 }
}
