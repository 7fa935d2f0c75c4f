/** A stream of the terminal, or of a pipe. */
export interface Output {
  write(text: string): unknown
  /** True for a terminal. */
  readonly isTTY?: boolean
  /** The width of a terminal, in characters. */
  readonly columns?: number
}

/** What the command uses of its process. */
export interface System {
  readonly stdout: Output
  readonly stderr: Output
  readonly cwd: () => string
  /** Moves the process to another folder. */
  readonly chdir: (folder: string) => void
  /** `NODE_ENV`. */
  readonly environment: string | undefined
  /** Calls `stop` when the user or the system asks the process to end. Returns how to end listening. */
  readonly onStop: (stop: () => void) => () => void
  /** Ends the process at once. */
  readonly exit: (code: number) => void
}
