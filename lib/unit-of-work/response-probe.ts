import { type IncomingMessage, ServerResponse } from 'node:http'

/** The methods of a response that send something. */
export type SenderName = 'writeHead' | 'flushHeaders' | 'write' | 'end'

/**
 * A copy of a Node response that is connected to nothing. A call that is held back is first made here. So the errors are Node's own, and
 * come at the moment of the call, before anything is committed.
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
    // A write after the end emits this event, and the real response emits it too.
    probe.on('error', () => undefined)
    this.#probe = probe
  }

  /** Throws the error that the real response would throw. */
  try(name: SenderName, args: readonly unknown[]): void {
    Reflect.apply(this.#probe[name], this.#probe, withoutCallbacks(args))
  }

  /** Copies to the real response what a call has set before it threw. */
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

/** Returns the names of the headers as they were set. Node's types lack this method. */
function rawNames(response: ServerResponse): string[] {
  return (response as unknown as { getRawHeaderNames(): string[] }).getRawHeaderNames()
}

function withoutCallbacks(args: readonly unknown[]): unknown[] {
  return args.filter((argument) => typeof argument !== 'function')
}
