import type { Command } from './command'
import { optionsOf } from './read-arguments'
import { inColumns } from './screen'

const EXIT_CODES = [
  ['0', 'all is well'],
  ['1', 'something is wrong: with the table, the database or the rows'],
  ['2', 'the command was not given as it has to be'],
  ['130', 'Ctrl-C stopped it; it can be run again']
]

/** Returns the help text of the command line as a whole. */
export function helpOfAll(commands: readonly Command[]): string {
  return [
    'Looks after the sessions table of knex-session-store.',
    '',
    'Usage: knex-session-store <command> (--knexfile <file> [--env <name>] | --url <url>) [options]',
    '',
    'Commands:',
    ...inColumns(
      commands.map(({ name, values, about }) => [[name, ...values].join(' '), about]),
      '  '
    ),
    '',
    'Exit codes:',
    ...inColumns(EXIT_CODES, '  '),
    '',
    'The options of a command: knex-session-store <command> --help'
  ].join('\n')
}

/** Returns the help text of one command. */
export function helpOf(command: Command): string {
  const options = Object.entries(optionsOf(command)).map(([name, { value, about }]) => [
    `--${name}${value === undefined ? '' : ` <${value}>`}`,
    about
  ])
  return [
    `${command.about}.`,
    '',
    `Usage: knex-session-store ${[command.name, ...command.values].join(' ')} [options]`,
    '',
    ...command.details,
    ...(command.details.length > 0 ? [''] : []),
    'Options:',
    ...inColumns(options, '  '),
    '',
    'Exit codes:',
    ...inColumns(EXIT_CODES, '  ')
  ].join('\n')
}
