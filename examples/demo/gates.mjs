/** Places where a slow request waits, so that what happens in the middle of it happens in the middle of it. */
export class Gates {
  #gates = new Map()

  /** Called by the slow request. */
  wait(name) {
    const { arrived, opened } = this.#gate(name)
    arrived.resolve()
    return opened.promise
  }

  /** Resolves when a request waits there. */
  arrived(name) {
    return this.#gate(name).arrived.promise
  }

  open(name) {
    this.#gate(name).opened.resolve()
    this.#gates.delete(name)
  }

  #gate(name) {
    let gate = this.#gates.get(name)
    if (gate === undefined) {
      gate = { arrived: Promise.withResolvers(), opened: Promise.withResolvers() }
      this.#gates.set(name, gate)
    }
    return gate
  }
}
