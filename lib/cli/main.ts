import { InvalidOptionError, isOurs, UnknownOptionError, UnsupportedDatabaseError } from '../errors'
import { check } from './check'
import type { Command, Given } from './command'
import { UsageError } from './command-errors'
import { destroy } from './destroy'
import { EXIT, type ExitCode } from './exit-codes'
import { asTyped, explain } from './explain-error'
import { helpOf, helpOfAll } from './help'
import { importCommand } from './import'
import { Interruption } from './interruption'
import { owner } from './owner'
import { prune } from './prune'
import { readArguments, suggestion } from './read-arguments'
import { reencrypt } from './reencrypt'
import { rehash } from './rehash'
import { Screen } from './screen'
import { sql } from './sql'
import { status } from './status'
import type { System } from './system'

const COMMANDS: readonly Command[] = [status, check, prune, owner, destroy, importCommand, sql, reencrypt, rehash]

/** Runs one command. Returns its exit code; never rejects. */
export async function main(args: readonly string[], system: System): Promise<ExitCode> {
  // Looked up before the arguments are read, so that an error in the arguments is printed as JSON too.
  const end = args.indexOf('--')
  const screen = new Screen(system.stdout, system.stderr, args.slice(0, end < 0 ? undefined : end).includes('--json'))
  const interruption = new Interruption(system)
  let given: Given = { options: {}, values: [] }
  try {
    const [name, ...rest] = args
    if (name === undefined) {
      system.stderr.write(`${helpOfAll(COMMANDS)}\n`)
      return EXIT.usage
    }
    if (['--help', '-h', 'help'].includes(name)) {
      const command = rest[0] === undefined ? undefined : commandOf(rest[0])
      system.stdout.write(`${command === undefined ? helpOfAll(COMMANDS) : helpOf(command)}\n`)
      return EXIT.fine
    }
    const command = commandOf(name)
    given = readArguments(command, rest)
    if (given.options.help === true) {
      system.stdout.write(`${helpOf(command)}\n`)
      return EXIT.fine
    }
    return await command.run({ system, screen, given, interruption })
  } catch (error) {
    // Only the class of an unknown error is printed, because its message may contain a secret.
    const known = isOurs(error)
    const code = known ? error.code : 'ERR_SESSION_UNEXPECTED'
    screen.error(known ? asTyped(explain(error), given) : `an error that is not known, of the class ${nameOf(error)}`, code)
    return isUsage(error) ? EXIT.usage : EXIT.wrong
  } finally {
    interruption.end()
  }
}

function commandOf(name: string): Command {
  const command = COMMANDS.find((known) => known.name === name)
  if (command !== undefined) return command
  const names = COMMANDS.map((known) => known.name)
  const hint = name.startsWith('-') ? ': the command comes first' : suggestion(name, names, '')
  throw new UsageError(`there is no command ${JSON.stringify(name)}${hint} (commands: ${names.join(', ')})`)
}

function isUsage(error: unknown): boolean {
  return [UsageError, InvalidOptionError, UnknownOptionError, UnsupportedDatabaseError].some((Class) => error instanceof Class)
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.constructor.name : typeof error
}
