import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { OpenDatabase } from '../support/databases'

/** The demo in a process of its own, as `npm start` runs it. */
export class Demo {
  private constructor(
    private readonly child: ChildProcess,
    readonly address: string,
    private readonly output: () => string
  ) {}

  static async start({ name, url }: Pick<OpenDatabase, 'name' | 'url'>): Promise<Demo> {
    const child = spawn(process.execPath, ['examples/demo/server.mjs'], {
      env: { ...process.env, PORT: '0', DATABASE_URL: name === 'sqlite' ? `sqlite:${url}` : url },
      stdio: ['ignore', 'pipe', 'pipe']
    })
    let output = ''
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
    })
    for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
      const address = /http:\/\/[\d.:]+/.exec(line)?.[0]
      if (address !== undefined) return new Demo(child, address, () => output)
    }
    throw new Error(`the demo ended without an address:\n${output}`)
  }

  /** What it printed as errors. */
  get errors(): string {
    return this.output()
  }

  /** As a person does with Ctrl-C. Returns the exit code. */
  async stop(): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      this.child.kill('SIGINT')
      await once(this.child, 'exit')
    }
    return this.child.exitCode
  }
}
