import { type ParseArgsConfig, parseArgs } from 'node:util'
import { disposeAll } from './children.mts'

/** A command was not called as its usage says. */
export class UsageError extends Error {}

/** Returns what the user typed. Prints the usage for `--help` and for a flag that is wrong, and ends the process then. */
export function readFlags<Config extends ParseArgsConfig>(usage: string, config: Config): ReturnType<typeof parseArgs<Config>> {
  if (process.argv.slice(2).some((flag) => flag === '--help' || flag === '-h')) {
    console.log(usage)
    process.exit(0)
  }
  try {
    return parseArgs(config)
  } catch (error) {
    return refuse(usage, error as Error)
  }
}

/** Runs the command, and ends the process with its exit code. A signal ends everything that the command has started. */
export async function runCommand(usage: string, main: () => Promise<number>): Promise<never> {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => void disposeAll().finally(() => process.exit(130)))
  }
  try {
    return process.exit(await main())
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    return refuse(usage, error)
  }
}

/** Prints the complaints, or that there are none. Returns the exit code. */
export function conclude(complaints: readonly string[], good: string, bad: string): number {
  for (const complaint of complaints) console.error(complaint)
  console.log(complaints.length === 0 ? good : bad)
  return complaints.length === 0 ? 0 : 1
}

function refuse(usage: string, { message }: Error): never {
  console.error(`${message}\n\n${usage}`)
  process.exit(2)
}
