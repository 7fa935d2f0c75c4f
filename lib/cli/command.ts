import type { ExitCode } from './exit-codes'
import type { Interruption } from './interruption'
import type { Screen } from './screen'
import type { System } from './system'

/** An option of a command. */
export interface CommandOption {
  /** The name of its value in the help; none for an option that is on or off. */
  readonly value?: string
  /** What it is, for the help. */
  readonly about: string
}

/** The options of a command, by their names without the dashes. */
export type CommandOptions = Readonly<Record<string, CommandOption>>

/** What the user gave. */
export interface Given {
  readonly options: Readonly<Record<string, string | true>>
  readonly values: readonly string[]
}

/** What a command works with. */
export interface Context {
  readonly system: System
  readonly screen: Screen
  readonly given: Given
  readonly interruption: Interruption
}

/** One command of the command line. */
export interface Command {
  readonly name: string
  /** One line, for the list of all commands. */
  readonly about: string
  /** The values that follow the name, as the help shows them. */
  readonly values: readonly string[]
  readonly options: CommandOptions
  /** What one has to know, for its own help. */
  readonly details: readonly string[]
  run(context: Context): Promise<ExitCode>
}

/** Returns the text that was given for an option, if any. */
export function textOption({ options }: Given, name: string): string | undefined {
  const value = options[name]
  return value === true ? undefined : value
}
