import type { ExitCode } from './exit-codes'
import type { Interruption } from './interruption'
import type { Screen } from './screen'
import type { System } from './system'

/** An option of a command. */
export interface CommandOption {
  /** The name of the option's value in the help. Undefined for an option without a value, which is on or off. */
  readonly value?: string
  /** The option's description in the help. */
  readonly about: string
}

/** The options of a command. The key is the name without the dashes. */
export type CommandOptions = Readonly<Record<string, CommandOption>>

/** The options and values that the user typed. */
export interface Given {
  readonly options: Readonly<Record<string, string | true>>
  readonly values: readonly string[]
}

/** What every command is given when it runs. */
export interface Context {
  readonly system: System
  readonly screen: Screen
  readonly given: Given
  readonly interruption: Interruption
}

/** One command of the command line. */
export interface Command {
  readonly name: string
  /** One line about the command, for the list of all commands. */
  readonly about: string
  /** The names of the values that follow the command, as the help shows them. */
  readonly values: readonly string[]
  readonly options: CommandOptions
  /** What a user has to know, for the help of this command. */
  readonly details: readonly string[]
  run(context: Context): Promise<ExitCode>
}

/** Returns the text that the user gave for an option. Undefined if the option was not given. */
export function textOption({ options }: Given, name: string): string | undefined {
  const value = options[name]
  return value === true ? undefined : value
}
