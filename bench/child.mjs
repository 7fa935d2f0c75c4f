import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const children = new Set()

/** All that are still there. */
export const stopChildren = () => Promise.all([...children].map((child) => child.stop()))

/** A child process that answers commands: `await child.ask('measure', …)`. */
export function startChild(file, { args = [], execArgv = [], env = {} } = {}) {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), args, { execArgv, env: { ...process.env, ...env } })
  const waiting = new Map()
  let count = 0
  child.on('message', ({ number, output, failure }) => {
    const { resolve, reject } = waiting.get(number)
    waiting.delete(number)
    if (failure) reject(new Error(failure))
    else resolve(output)
  })
  child.on('exit', (code, signal) => {
    for (const { reject } of waiting.values()) reject(new Error(`${file} ${args.join(' ')} ended (${signal ?? code})`))
    waiting.clear()
  })
  const started = {
    ask: (command, input) =>
      new Promise((resolve, reject) => {
        const number = count++
        waiting.set(number, { resolve, reject })
        child.send({ number, command, input }, (error) => error && reject(error))
      }),
    stop: () =>
      new Promise((resolve) => {
        if (child.exitCode !== null || child.signalCode !== null) return resolve()
        child.once('exit', resolve)
        child.kill('SIGKILL')
      })
  }
  children.add(started)
  child.once('exit', () => children.delete(started))
  return started
}

/** The child's side: answers each command by the function of that name. */
export function answer(commands) {
  process.on('message', async ({ number, command, input }) => {
    try {
      process.send({ number, output: await commands[command](input) })
    } catch (error) {
      process.send({ number, failure: error.stack })
    }
  })
  // The parent stops its children itself: on Ctrl-C they must not die in the middle of its clean-up, and without it they must not stay.
  process.on('SIGINT', () => {})
  process.on('disconnect', () => process.exit())
}

/** Does the work for each, two at a time. */
export async function inTwos(items, work) {
  const left = [...items]
  await Promise.all(
    [0, 1].map(async () => {
      for (let item = left.shift(); item; item = left.shift()) await work(item)
    })
  )
}
