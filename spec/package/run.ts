import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { expect } from 'vitest'

export interface Ended {
  readonly code: number | string | null
  readonly output: string
}

/** What a file of the consumer's gives that went well to its end. */
export const succeeded = { code: 0, output: expect.stringMatching(/^done$/m) }

/** Runs a program in a project, which has to end by itself. */
export function run(program: string, cwd: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(program, args, { cwd, env: { ...process.env, ...env }, timeout: 150_000, killSignal: 'SIGKILL' }, (error, stdout, stderr) => {
      const code = error ? (error.code ?? error.signal ?? null) : 0
      resolve({ code, output: stdout + stderr })
    })
  })
}

/** The Node.js of that line that is installed in the project. */
export function nodeOf(project: string, line: number | string): string {
  return join(project, `node_modules/node${line}/bin/node`)
}
