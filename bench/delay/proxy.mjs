// Holds every byte back for a while, each way, in order. It turns its event loop while something waits: a timer of Node has 1 ms at best.
import { connect, createServer } from 'node:net'
import { answer } from '../child.mjs'

const queue = []
let turning = false

function turn() {
  const now = performance.now()
  let ready = 0
  while (ready < queue.length && queue[ready].due <= now) queue[ready++].send()
  queue.splice(0, ready)
  turning = queue.length > 0
  if (turning) setImmediate(turn)
}

function hold(delayMs, send) {
  queue.push({ due: performance.now() + delayMs, send })
  if (!turning) {
    turning = true
    setImmediate(turn)
  }
}

answer({
  listen: ({ host, port, delayMs }) =>
    new Promise((resolve) => {
      const server = createServer((near) => {
        const far = connect({ port, host })
        for (const [from, to] of [
          [near, far],
          [far, near]
        ]) {
          from.setNoDelay(true)
          from.on('data', (bytes) => hold(delayMs, () => to.write(bytes)))
          from.on('end', () => hold(delayMs, () => to.end()))
          from.on('error', () => to.destroy())
        }
      })
      server.listen(0, '127.0.0.1', () => resolve(server.address().port))
    })
})
