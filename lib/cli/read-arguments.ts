import { parseArgs } from 'node:util'
import { nearest } from '../unknown-option'
import type { Command, Given } from './command'
import { UsageError } from './command-errors'
import { COMMON } from './common-options'

/** Returns the options that a command accepts: its own, and the options of every command. */
export function optionsOf(command: Command): Command['options'] {
  return { ...command.options, ...COMMON }
}

/** Parses the arguments after the name of the command. Throws if the command does not accept one of them. */
export function readArguments(command: Command, args: readonly string[]): Given {
  const known = optionsOf(command)
  const config = Object.fromEntries(
    Object.entries(known).map(([name, { value }]) => [name, { type: value === undefined ? ('boolean' as const) : ('string' as const) }])
  )
  const { tokens } = parseArgs({
    args: [...args],
    options: { ...config, help: { type: 'boolean', short: 'h' } },
    strict: false,
    allowPositionals: true,
    tokens: true
  })
  const options: Record<string, string | true> = {}
  const values: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') values.push(token.value)
    if (token.kind !== 'option') continue
    const { name, rawName, value, inlineValue } = token
    const option = Object.hasOwn(known, name) ? known[name] : undefined
    if (option === undefined)
      throw new UsageError(`${command.name} has no option ${rawName}${suggestion(name, Object.keys(known))}. ${seeHelp(command)}`)
    if (option.value === undefined) {
      if (value !== undefined) throw new UsageError(`${rawName} takes no value. ${seeHelp(command)}`)
      options[name] = true
      continue
    }
    // In `--table --json` the value was forgotten: `--json` is an option. In `--table=--json` it is the value.
    if (value === undefined || value === '' || (!inlineValue && value.startsWith('-'))) {
      throw new UsageError(
        `${rawName} needs a value: ${rawName} <${option.value}>, or ${rawName}=… for one that begins with a dash. ${seeHelp(command)}`
      )
    }
    if (options[name] !== undefined) throw new UsageError(`${rawName} was given twice, and takes one value. ${seeHelp(command)}`)
    options[name] = value
  }
  if (options.help !== true) refuseWrongValues(command, values)
  return { options, values }
}

function refuseWrongValues(command: Command, values: readonly string[]): void {
  const missing = command.values[values.length]
  if (missing !== undefined) throw new UsageError(`${command.name} needs ${missing}. ${seeHelp(command)}`)
  if (values.length > command.values.length) {
    const takes = command.values.length === 0 ? 'no values' : `${command.values.join(' ')} alone`
    throw new UsageError(`${command.name} takes ${takes}, and ${values.length} were given. ${seeHelp(command)}`)
  }
}

/** Returns a hint such as `; did you mean --table`, or `''` if no name is similar. */
export function suggestion(given: string, known: readonly string[], dashes = '--'): string {
  const name = nearest(given, known)
  return name === undefined ? '' : `; did you mean ${dashes}${name}`
}

function seeHelp({ name }: Command): string {
  return `See: knex-session-store ${name} --help`
}
