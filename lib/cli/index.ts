#!/usr/bin/env node

const SIGNALS = ['SIGINT', 'SIGTERM'] as const

const write = process.stdout.write.bind(process.stdout)
// What the application's modules print, such as a greeting of dotenv, is no result.
process.stdout.write = process.stderr.write.bind(process.stderr) as typeof write
process.stdout.on('error', failWriting)
// What is written there is no result.
process.stderr.on('error', () => undefined)
// Node prints the text of such an error, and the line of the source that threw it: a password may be in both.
process.on('uncaughtException', () => {
  process.stderr.write('knex-session-store: a module of the application failed outside of the command (an error that nothing caught)\n')
  process.exit(1)
})

loadCommands()
  .main(process.argv.slice(2), {
    stdout: { write: (text) => write(text) },
    stderr: process.stderr,
    cwd: () => process.cwd(),
    chdir: (folder) => process.chdir(folder),
    environment: process.env.NODE_ENV || undefined,
    onStop: (stop) => {
      for (const signal of SIGNALS) process.on(signal, stop)
      return () => {
        for (const signal of SIGNALS) process.off(signal, stop)
      }
    },
    exit: (code) => process.exit(code)
  })
  .then((code) => {
    // What the application's modules have opened must not keep the process. What was printed goes out first.
    write('', (error) => (error ? failWriting(error) : process.exit(code)))
  })

/** A result that was not written is no success. A reader that has enough, as `head` has, closes the pipe: that is no error to tell of. */
function failWriting({ code }: NodeJS.ErrnoException): never {
  if (code !== 'EPIPE') process.stderr.write(`knex-session-store: the result could not be written (${code})\n`)
  return process.exit(1)
}

/** A peer of this package may be missing, which is to be said without a stack. */
function loadCommands(): typeof import('./main') {
  try {
    return require('./main')
  } catch (error) {
    const [, name] = /^Cannot find module '([\w@/-]+)'/.exec((error as Error).message) ?? []
    if (name === undefined) throw error
    process.stderr.write(`knex-session-store: the package ${name} is not installed here: npm install ${name}\n`)
    return process.exit(1)
  }
}
