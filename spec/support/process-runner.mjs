// The first file of a child process of processes.ts: runs the worker named in its arguments and reports what became of it.
import { once } from 'node:events'
import { pathToFileURL } from 'node:url'

const [workerFile] = process.argv.slice(2)
const messages = []
process.on('message', (message) => {
  messages.push(message)
  process.emit('spec:message')
})

try {
  const { default: worker } = await import(pathToFileURL(workerFile).href)
  const { input } = await next('input')
  const output = await worker(input, async () => {
    await report({ type: 'ready' })
    await next('go')
  })
  await report({ type: 'returned', output })
} catch (error) {
  process.exitCode = 1
  await report({ type: 'threw', error: error instanceof Error ? String(error.stack) : String(error) })
} finally {
  // From here on the process has to end by itself: nothing but what the worker left open can hold it.
  process.disconnect()
}

async function next(type) {
  for (;;) {
    const at = messages.findIndex((message) => message.type === type)
    if (at >= 0) return messages.splice(at, 1)[0]
    await once(process, 'spec:message')
  }
}

function report(message) {
  return new Promise((sent, failed) => {
    process.send(message, (error) => (error ? failed(error) : sent()))
  })
}
