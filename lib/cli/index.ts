#!/usr/bin/env node

const SIGNALS = ['SIGINT', 'SIGTERM'] as const

const write = process.stdout.write.bind(process.stdout)
// Modules of the application may print something, as dotenv does. Standard output is for the result alone, so their text goes to standard
// error.
process.stdout.write = process.stderr.write.bind(process.stderr) as typeof write
process.stdout.on('error', failWriting)
// Only the result matters. So an error while writing to standard error is ignored.
process.stderr.on('error', () => undefined)
// By default, Node prints the message of such an error and the source line that threw it. Both may contain a password.
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
    // Modules of the application may have opened something that keeps the process alive. So it exits, once everything has been written.
    write('', (error) => (error ? failWriting(error) : process.exit(code)))
  })

/**
 * The exit code is not 0 if the result could not be written. EPIPE means that the reader has closed the pipe, as `head` does when it has
 * enough lines. That is not worth a message.
 */
function failWriting({ code }: NodeJS.ErrnoException): never {
  if (code !== 'EPIPE') process.stderr.write(`knex-session-store: the result could not be written (${code})\n`)
  return process.exit(1)
}

/** A peer dependency may not be installed. The message for this case has no stack trace. */
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
