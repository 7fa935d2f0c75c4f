import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

/**
 * What a worker file exports by default. Workers are real processes of their own, so they are `.mts` files (Node runs these as they are) and use
 * the built package: `import { KnexSessionStore } from 'knex-session-store'`. What they get and return is copied by the structured clone algorithm.
 *
 * @example
 * ```ts
 * export default (async ({ config }, go) => {
 *   const knex = createKnex(config)
 *   await go() // all workers leave here at the same moment
 *   …
 * }) satisfies Worker<{ config: Knex.Config }>
 * ```
 */
export type Worker<Input = unknown, Output = unknown> = (input: Input, go: () => Promise<void>) => Promise<Output> | Output

export interface ProcessResult<Output> {
  /** What the worker returned; undefined if it failed. */
  readonly output: Output | undefined
  /** Message and stack of what the worker threw, undefined if it did not. */
  readonly error: string | undefined
  /** Null if the process was ended by a signal. */
  readonly exitCode: number | null
  /** SIGKILL for a process that had to be ended, because it did not end by itself in `timeoutMs`. */
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  /** From the start to the end of the process, which has to end by itself: something left open in it shows as SIGKILL. @default 30_000 */
  readonly timeoutMs?: number
  readonly env?: NodeJS.ProcessEnv
  /** Flags for node itself, for instance `--import=…`. */
  readonly execArgv?: readonly string[]
}

const RUNNER = join(__dirname, 'process-runner.mjs')

/**
 * Runs a worker file once for each input, each in a process of its own, all at once. Nobody passes `go()` before every worker has got there (or has
 * ended). A worker that fails is a result, not a rejection.
 *
 * @example
 * ```ts
 * const results = await runProcesses<Input, number>(join(__dirname, 'create.worker.mts'), Array(8).fill({ config: database.config }))
 * expect(results.map(({ error }) => error)).toEqual(Array(8).fill(undefined))
 * ```
 */
export async function runProcesses<Input, Output>(
  workerFile: string,
  inputs: readonly Input[],
  options: RunOptions = {}
): Promise<ProcessResult<Output>[]> {
  const barrier = new Barrier(inputs.length)
  return Promise.all(inputs.map((input) => runOne<Output>(workerFile, input, barrier, options)))
}

/** One worker in one process. */
export async function runProcess<Input, Output>(
  workerFile: string,
  input: Input,
  options: RunOptions = {}
): Promise<ProcessResult<Output>> {
  const [result] = await runProcesses<Input, Output>(workerFile, [input], options)
  if (result === undefined) throw new Error('a process has no result')
  return result
}

/** Opens once each of its members has come or can come no more. */
class Barrier {
  readonly opened: Promise<void>
  #open: () => void = () => undefined
  #missing: number

  constructor(members: number) {
    this.#missing = members
    this.opened = new Promise((resolve) => {
      this.#open = resolve
    })
  }

  arrive(): void {
    this.#missing--
    if (this.#missing === 0) this.#open()
  }
}

type Message = { type: 'ready' } | { type: 'returned'; output: unknown } | { type: 'threw'; error: string }

async function runOne<Output>(workerFile: string, input: unknown, barrier: Barrier, options: RunOptions): Promise<ProcessResult<Output>> {
  const child = fork(RUNNER, [workerFile], {
    serialization: 'advanced',
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    // vitest's own flags and variables are not the worker's.
    execArgv: [...(options.execArgv ?? [])],
    env: { ...withoutVitest(process.env), ...options.env }
  })
  const stdout = collect(child.stdout)
  const stderr = collect(child.stderr)
  let output: Output | undefined
  let error: string | undefined
  let arrived = false
  const arriveOnce = () => {
    if (!arrived) barrier.arrive()
    arrived = true
  }
  child.on('message', (message: Message) => {
    if (message.type === 'ready') {
      arriveOnce()
      barrier.opened.then(() => send(child, { type: 'go' }))
    } else if (message.type === 'returned') output = message.output as Output
    else error = message.error
  })
  const killer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 30_000)
  send(child, { type: 'input', input })
  const [exitCode, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  clearTimeout(killer)
  arriveOnce()
  return { output, error, exitCode, signal, stdout: stdout(), stderr: stderr() }
}

/** A process that has ended meanwhile is no error here: its exit code tells. */
function send(child: ChildProcess, message: unknown): void {
  if (child.connected) child.send(message as object, () => undefined)
}

function collect(stream: NodeJS.ReadableStream | null): () => string {
  let text = ''
  stream?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  return () => text
}

function withoutVitest(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^(VITEST|NODE_OPTIONS$|NODE_ENV$|TEST$|VITE_)/.test(name)))
}
