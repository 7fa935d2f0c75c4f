/** The exit codes of the command. */
export const EXIT = {
  /** The command succeeded and found nothing wrong. */
  fine: 0,
  /** Something is wrong with the table, the database or the rows. */
  wrong: 1,
  /** The command line is wrong. */
  usage: 2,
  /** Ctrl-C stopped the command. It can be run again. Shells use the same code: 128 plus the number of the signal. */
  stopped: 130
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]
