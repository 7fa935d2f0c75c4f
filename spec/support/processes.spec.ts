import { join } from 'node:path'
import { expect, it } from 'vitest'
import { runProcess, runProcesses } from './processes'
import type { Task } from './processes.worker.mts'

const WORKER = join(__dirname, 'processes.worker.mts')
const run = (tasks: Task[], timeoutMs?: number) => runProcesses<Task, number>(WORKER, tasks, timeoutMs === undefined ? {} : { timeoutMs })

it('runs each worker in a process of its own and gives back what it returned', async () => {
  const results = await run([{ does: 'returns its pid' }, { does: 'returns its pid' }])
  expect(results.map(({ exitCode, error }) => ({ exitCode, error }))).toEqual([
    { exitCode: 0, error: undefined },
    { exitCode: 0, error: undefined }
  ])
  expect(new Set([process.pid, ...results.map(({ output }) => output)]).size).toBe(3)
})

it('lets no worker go before the last is ready', async () => {
  const results = await run([
    { does: 'notes when it was ready and when it went', afterMs: 0 },
    { does: 'notes when it was ready and when it went', afterMs: 300 }
  ])
  const times = results.map(({ output }) => output as unknown as { ready: number; went: number })
  const lastReady = Math.max(...times.map(({ ready }) => ready))
  for (const { went } of times) expect(went).toBeGreaterThanOrEqual(lastReady)
})

it('lets the others go when one ends before it is ready', async () => {
  const [waiting, failing] = await run([{ does: 'notes when it was ready and when it went', afterMs: 0 }, { does: 'throws' }])
  expect(waiting?.exitCode).toBe(0)
  expect(failing).toMatchObject({ exitCode: 1, error: expect.stringContaining('on purpose'), output: undefined })
})

it('reports what was printed and the exit code', async () => {
  const result = await runProcess<Task, number>(WORKER, { does: 'prints and exits' })
  expect(result).toMatchObject({ exitCode: 3, stdout: 'to stdout\n', stderr: 'to stderr\n' })
})

it('ends a process that does not end by itself, and says so', async () => {
  const [result] = await run([{ does: 'leaves a timer running' }], 1500)
  expect(result).toMatchObject({ output: 1, exitCode: null, signal: 'SIGKILL' })
})
