import { type OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { ResponseDecidedError } from './errors'
import { ResponseProbe, type SenderName } from './response-probe'

/** Decides when a held response is sent. */
export interface ResponseHolder {
  /**
   * Called before the first byte of the response, or its end, is sent. Returns the promise to wait for, or undefined if there is none, or
   * `'later'`: then everything up to the end is sent, and `settle` is called again before the end.
   */
  settle(isEnd: boolean): Promise<void> | 'later' | undefined
  /** Called when `settle` has failed. The response is as it was at the beginning, and another response can be written. */
  failed(error: unknown): void
  /** Calls `send`, which sends a part of the response. */
  release<T>(send: () => T): T
}

const HEAD = ['setHeader', 'appendHeader', 'removeHeader', 'setHeaders'] as const

type Senders = Pick<ServerResponse, SenderName>

/**
 * Holds a response back, with its head, until `settle` is done, so that the status can still change. Calls of the response during that time
 * are made afterwards, in order. As in Node, status and headers cannot be changed once the head was written. A call that Node would refuse
 * throws at once, and then `settle` is not called.
 */
export function holdResponse(res: ServerResponse, holder: ResponseHolder): void {
  new HeldResponse(res, holder)
}

class HeldResponse {
  readonly #before: Senders
  readonly #ours: Senders
  readonly #headersBefore: OutgoingHttpHeaders
  readonly #waiting: (() => unknown)[] = []
  /** `'passing'`: the head and the body are sent at once, but the end is held. */
  #state: 'open' | 'passing' | 'settling' | 'released' = 'open'
  #head: unknown[] | undefined
  #probe: ResponseProbe | undefined
  #isBlocking = false

  constructor(
    private readonly res: ServerResponse,
    private readonly holder: ResponseHolder
  ) {
    const { writeHead, flushHeaders, write, end } = res
    this.#before = { writeHead, flushHeaders, write, end }
    this.#headersBefore = res.getHeaders()
    this.#ours = {
      writeHead: (...args: unknown[]) => this.#writeHead(args),
      flushHeaders: () => this.#passOn('flushHeaders', []),
      write: (...args: unknown[]) => this.#write(args),
      end: (...args: unknown[]) => this.#end(args)
    } as Senders
    Object.assign(res, this.#ours)
  }

  #writeHead(args: unknown[]): unknown {
    if (this.#state === 'released' || this.#state === 'passing') return this.#send('writeHead', args)
    if (this.#state === 'settling' || this.#head) throw new ResponseDecidedError('write')
    this.#try('writeHead', args)
    this.res.statusCode = Math.trunc(Number(args[0]))
    this.#head = args
    this.#freeze()
    return this.res
  }

  #write(args: unknown[]): unknown {
    const sent = this.#passOn('write', args)
    if (this.#state === 'settling') this.#isBlocking = true
    return sent ?? false
  }

  #end(args: unknown[]): unknown {
    return this.#passOn('end', args) ?? this.res
  }

  /** Makes the call, or keeps it for later. Returns undefined if the call has to wait. */
  #passOn(name: SenderName, args: unknown[]): unknown {
    if (this.#state === 'open' || this.#state === 'settling') this.#try(name, args)
    // The head was sent, so only the last part of the body can be wrong.
    if (this.#state === 'passing' && name === 'end' && args[0] && typeof args[0] !== 'function') this.#try('write', args)
    if (this.#state === 'open' || (this.#state === 'passing' && name === 'end')) this.#settle(name === 'end')
    if (this.#state !== 'settling') return this.#send(name, args)
    if (name === 'end') Object.defineProperty(this.res, 'writableEnded', { value: true, configurable: true })
    this.#waiting.push(() => this.#send(name, args))
    return undefined
  }

  /** Throws the error that Node would throw for this call. */
  #try(name: SenderName, args: unknown[]): void {
    if (!(this.res instanceof ServerResponse)) return
    this.#probe ??= new ResponseProbe(this.res)
    try {
      this.#probe.try(name, args)
    } catch (error) {
      this.#probe.passBack()
      // Calls that are held stay valid. So the probe is dropped only if there are none.
      if (this.#state === 'open' && !this.#head) this.#probe = undefined
      throw error
    }
  }

  #send(name: keyof Senders, args: unknown[]): unknown {
    return this.holder.release(() => Reflect.apply(this.#before[name], this.res, args))
  }

  #settle(isEnd: boolean): void {
    const { statusCode } = this.res
    const settled = this.holder.settle(isEnd)
    if (settled === undefined || settled === 'later') {
      this.#release(settled === 'later' ? 'passing' : 'released')
      return
    }
    this.#state = 'settling'
    this.#freeze()
    settled
      .then(() => {
        this.#thaw()
        if (!this.res.headersSent) this.res.statusCode = statusCode
        this.#release('released')
      })
      .catch((error) => this.#startAgain(error))
  }

  #release(state: 'passing' | 'released'): void {
    this.#state = state
    const head = this.#head
    this.#head = undefined
    this.#probe = undefined
    if (head) this.#thaw()
    if (head) this.#send('writeHead', head)
    const isFull = this.#waiting
      .splice(0)
      .map((call) => call())
      .includes(false)
    // `write` has returned false, so the code that called it waits for this event.
    if (this.#isBlocking && !isFull && !this.res.writableEnded) this.res.emit('drain')
  }

  #startAgain(error: unknown): void {
    const { res } = this
    this.#state = 'released'
    this.#waiting.length = 0
    this.#head = undefined
    this.#probe = undefined
    this.#thaw()
    if (!res.headersSent) {
      res.addTrailers({})
      for (const name of res.getHeaderNames()) res.removeHeader(name)
      for (const [name, value] of Object.entries(this.#headersBefore)) if (value !== undefined) res.setHeader(name, value)
      res.statusCode = 500
    }
    // Middleware that was mounted later may have wrapped these methods. For its wrappers the response has ended, so they are removed.
    Object.assign(res, this.#ours)
    this.holder.failed(error)
  }

  #freeze(): void {
    const refuse = () => {
      throw new ResponseDecidedError('set')
    }
    for (const name of HEAD) Object.defineProperty(this.res, name, { value: refuse, configurable: true })
    Object.defineProperty(this.res, 'headersSent', { value: true, configurable: true })
  }

  #thaw(): void {
    for (const name of [...HEAD, 'headersSent', 'writableEnded']) Reflect.deleteProperty(this.res, name)
  }
}
