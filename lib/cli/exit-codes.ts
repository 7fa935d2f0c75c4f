/** What the command tells the shell. */
export const EXIT = {
  /** All is well. */
  fine: 0,
  /** Something is wrong with the table, the database or the rows. */
  wrong: 1,
  /** The command was not given as it has to be. */
  usage: 2,
  /** Ctrl-C stopped it; it can be run again. As a shell has it: 128 and the number of the signal. */
  stopped: 130
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]
