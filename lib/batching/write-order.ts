/**
 * Runs the writes of one session in the order of their calls. Each read runs after the writes that were called before it. So the request
 * after a redirect sees the login, although express-session sends the redirect before its write has a result.
 */
export class WriteOrder {
  /** @param last the last write in flight of each session; all copies of this module that write to the same table share it */
  constructor(private readonly last: Map<string, Promise<unknown>> = new Map()) {}

  /** Runs `work` when the session's earlier writes have settled. */
  write<T>(storedId: string, work: () => Promise<T>): Promise<T> {
    const previous = this.last.get(storedId)
    const write = previous === undefined ? work() : previous.then(work, work)
    this.last.set(storedId, write)
    const forget = () => {
      if (this.last.get(storedId) === write) this.last.delete(storedId)
    }
    write.then(forget, forget)
    return write
  }

  /** Runs `work` when the session's writes in flight have settled. Later writes do not wait for `work`. */
  read<T>(storedId: string, work: () => Promise<T>): Promise<T> {
    // Mostly nothing is in flight. A lookup would have to compute the hash of a text that was never looked up before.
    const previous = this.last.size === 0 ? undefined : this.last.get(storedId)
    return previous === undefined ? work() : previous.then(work, work)
  }

  /** Resolves when all writes that are in flight now have settled. For calls that look at all sessions. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.last.values()])
  }
}
