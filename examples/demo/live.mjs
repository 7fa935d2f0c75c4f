/** Server-sent events: one stream for each open page. They say that something has changed, and never whose or what. */
export class Live {
  #streams = new Set()

  get hasListeners() {
    return this.#streams.size > 0
  }

  stream = (req, res) => {
    res.writeHead(200, { 'Content-Type': 'text/event-stream', Connection: 'close' })
    res.write('retry: 1000\n\n')
    this.#streams.add(res)
    req.on('close', () => this.#streams.delete(res))
  }

  publish(event, data = {}) {
    for (const stream of this.#streams) stream.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
  }

  close() {
    for (const stream of this.#streams) stream.end()
  }
}
