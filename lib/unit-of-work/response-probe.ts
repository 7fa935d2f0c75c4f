import { type IncomingMessage, ServerResponse } from 'node:http'

/** The calls that send something. */
export type SenderName = 'writeHead' | 'flushHeaders' | 'write' | 'end'

/**
 * A response of Node that leads nowhere, in the state of a real one. A call that is held back is made here first. So Node itself throws its
 * errors, at the moment of the call, and before anything is committed.
 */
export class ResponseProbe {
  readonly #probe: ServerResponse

  constructor(private readonly res: ServerResponse) {
    const { rejectNonStandardBodyWrites } = (res.socket as { server?: { rejectNonStandardBodyWrites?: boolean } } | null)?.server ?? {}
    const Probe = ServerResponse as new (req: IncomingMessage, options: object) => ServerResponse
    const probe = new Probe(res.req, { rejectNonStandardBodyWrites })
    const { statusCode, statusMessage, sendDate, shouldKeepAlive, chunkedEncoding, useChunkedEncodingByDefault, strictContentLength } = res
    Object.assign(probe, { sendDate, shouldKeepAlive, chunkedEncoding, useChunkedEncodingByDefault, strictContentLength, statusCode })
    if (statusMessage !== undefined) probe.statusMessage = statusMessage
    for (const [name, value] of Object.entries(res.getHeaders())) if (value !== undefined) probe.setHeader(name, value)
    // A write after the end is told by an event, which the real one emits as well.
    probe.on('error', () => undefined)
    this.#probe = probe
  }

  /** Throws the error that the real response would throw. */
  try(name: SenderName, args: readonly unknown[]): void {
    Reflect.apply(this.#probe[name], this.#probe, withoutCallbacks(args))
  }

  /** Sets on the real response what a call had set before it threw. */
  passBack(): void {
    const { res } = this
    if (res.headersSent) return
    const probe = this.#probe
    res.statusCode = probe.statusCode
    if (probe.statusMessage !== undefined) res.statusMessage = probe.statusMessage
    for (const name of rawNames(probe)) {
      const value = probe.getHeader(name)
      if (value !== undefined && value !== res.getHeader(name)) res.setHeader(name, value)
    }
  }
}

/** As they were set. Node's types leave the method out. */
function rawNames(response: ServerResponse): string[] {
  return (response as unknown as { getRawHeaderNames(): string[] }).getRawHeaderNames()
}

function withoutCallbacks(args: readonly unknown[]): unknown[] {
  return args.filter((argument) => typeof argument !== 'function')
}
