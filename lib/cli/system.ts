/** A stream that leads to a terminal, a file or a pipe. */
export interface Output {
  write(text: string): unknown
  /** True if the stream leads to a terminal. */
  readonly isTTY?: boolean
  /** The width of the terminal, in characters. */
  readonly columns?: number
}

/** The parts of the process that a command uses. */
export interface System {
  readonly stdout: Output
  readonly stderr: Output
  readonly cwd: () => string
  /** Changes the working directory. */
  readonly chdir: (folder: string) => void
  /** The value of `NODE_ENV`. */
  readonly environment: string | undefined
  /** Calls `stop` on SIGINT and SIGTERM. Returns a function that stops listening. */
  readonly onStop: (stop: () => void) => () => void
  /** Ends the process at once. */
  readonly exit: (code: number) => void
}
