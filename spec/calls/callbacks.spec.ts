import { AsyncLocalStorage } from 'node:async_hooks'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { answer, withinTime } from '../../lib/calls/callbacks'
import { Deadlines } from '../../lib/calls/deadlines'
import { TimeoutError } from '../../lib/database-errors'
import { runProcess } from '../support/processes'
import { describeStores } from '../support/stores'
import type { Input, Output } from './callbacks.worker.mts'

const WORKER = join(__dirname, 'callbacks.worker.mts')
const settle = () => new Promise((resolve) => setImmediate(resolve))

describe('an answer by callback', () => {
  it('is given once, and there is no promise beside it', async () => {
    const callback = vi.fn()
    expect(answer(Promise.resolve(5), callback, () => undefined)).toBeUndefined()
    await settle()
    expect(callback.mock.calls).toEqual([[null, 5]])
  })

  it('is an error alone where there is one, and onError is not told', async () => {
    const [callback, onError] = [vi.fn(), vi.fn()]
    const error = new TimeoutError('get', 1)
    answer(Promise.reject(error), callback, onError)
    await settle()
    expect(callback.mock.calls).toEqual([[error]])
    expect(onError).not.toHaveBeenCalled()
  })

  it('is never given before the call has returned', () => {
    const callback = vi.fn()
    answer(Promise.resolve(5), callback, () => undefined)
    expect(callback).not.toHaveBeenCalled()
  })

  it('is given in the async context of the caller', async () => {
    const context = new AsyncLocalStorage<string>()
    const seen: (string | undefined)[] = []
    let resolve = (_value: number) => {}
    const work = new Promise<number>((done) => {
      resolve = done
    })
    context.run('the caller', () =>
      answer(
        work,
        () => seen.push(context.getStore()),
        () => undefined
      )
    )
    context.run('another', () => resolve(5))
    await settle()
    expect(seen).toEqual(['the caller'])
  })
})

describe('an answer by promise', () => {
  it('is given to who awaits it', async () => {
    expect(await answer(Promise.resolve(5), undefined, () => undefined)).toBe(5)
  })

  it('is an error for who awaits it, and told to onError', async () => {
    const onError = vi.fn()
    const error = new TimeoutError('get', 1)
    await expect(answer(Promise.reject(error), undefined, onError)).rejects.toBe(error)
    expect(onError.mock.calls).toEqual([[error]])
  })
})

describe('an answer within time', () => {
  it('is the answer, and no timer stays behind', async () => {
    expect(await withinTime(Promise.resolve(5), 'get', new Deadlines(10_000))).toBe(5)
    await expect(withinTime(Promise.reject(new TypeError('no')), 'get', new Deadlines(10_000))).rejects.toThrow('no')
  })

  it('is a TimeoutError when time is up, and what comes later is dropped', async () => {
    let reject = (_error: Error) => {}
    const work = new Promise<never>((_resolve, fail) => {
      reject = fail
    })
    const deadlines = new Deadlines(5)
    await expect(withinTime(work, 'get', deadlines)).rejects.toEqual(new TimeoutError('get', 5))
    const next = withinTime(new Promise<never>(() => undefined), 'set', deadlines)
    reject(new TypeError('too late for anybody'))
    await settle()
    // Nor does it end the time of who came after.
    await expect(next).rejects.toEqual(new TimeoutError('set', 5))
  })
})

describeStores('a callback that throws', (database) => {
  it('is an uncaught exception of its own, called once, and the session stays', async () => {
    await using opened = await database.open()
    const { output, error, signal } = await runProcess<Input, Output>(WORKER, { config: opened.config, callbacks: 'throw' })
    expect({ error, signal }).toEqual({ error: undefined, signal: null })
    const methods = ['get', 'set', 'touch', 'destroy', 'all', 'length', 'ids']
    expect(output?.called).toEqual(Object.fromEntries(methods.map((method) => [method, 1])))
    expect(output?.uncaught.sort()).toEqual(methods.map((method) => `thrown in the callback of ${method}`).sort())
    expect(output?.unhandled).toEqual([])
    expect(output?.told).toEqual([])
    expect(output?.user).toBe('ada')
  })
})

describe('calls whose answer nobody takes', () => {
  it.each([
    ['the server is down', async () => ({ client: 'pg', connection: { host: '127.0.0.1', port: await closedPort(), user: 'x' } })],
    [
      'the folder of the file is missing',
      async () => ({ client: 'better-sqlite3', connection: { filename: '/no/such/folder/file' }, useNullAsDefault: true })
    ]
  ])('end no process when %s, and onError is told of each', async (_what, config) => {
    const input: Input = { config: await config(), callbacks: 'none' }
    const { output, error, exitCode } = await runProcess<Input, Output>(WORKER, input)
    expect({ error, exitCode }).toEqual({ error: undefined, exitCode: 0 })
    expect(output?.uncaught).toEqual([])
    expect(output?.unhandled).toEqual([])
    expect(output?.told).toEqual(Array(10).fill('ERR_SESSION_DATABASE_UNREACHABLE'))
  })
})

/** A port on which nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}
