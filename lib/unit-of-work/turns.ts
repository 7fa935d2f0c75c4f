/** One thing at a time, in the order they came: so that on a connection nothing gets between a failed statement and its undoing. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve()

  /** Waits for the turn, and keeps it until the promise of `turn` is settled. */
  take<T>(turn: () => Promise<T>): Promise<T> {
    const result = this.#last.then(turn)
    this.#last = result.then(nothing, nothing)
    return result
  }
}

function nothing(): void {
  // Whether the turn ended well concerns only the one who took it.
}
