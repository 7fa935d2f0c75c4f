/** A command was not called as its usage says. */
export class UsageError extends Error {}

/** Runs a command, or a part of it, and returns what it returns. A wrong call is told with the usage, without a stack, and exits with 2. */
export async function orUsage<T>(usage: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const { code, message } = error as { code?: string; message: string }
    if (!(error instanceof UsageError) && !code?.startsWith('ERR_PARSE_ARGS_')) throw error
    console.error(`${message}\n\n${usage}`)
    process.exit(2)
  }
}
