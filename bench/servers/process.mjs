import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'

const programs = new Set()

/** All that are still there, also one that is starting. */
export const stopPrograms = () => Promise.all([...programs].map((program) => program.stop()))

/** Starts a server's program; nothing of it survives `stop()`. Its output is kept for the message of a failed start. */
export function startProgram(path, args, { identity = {}, stopSignal = 'SIGTERM', env = process.env } = {}) {
  // A process group of its own: Ctrl-C in the terminal reaches only the bench, which then stops its servers in order.
  const child = spawn(path, args, { ...identity, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output = (output + chunk).slice(-4000)
    })
  }
  let ended = false
  const exit = new Promise((resolve) => {
    for (const event of ['exit', 'error']) {
      child.once(event, (reason) => {
        ended = true
        if (reason instanceof Error) output += reason.message
        process.off('exit', kill)
        programs.delete(program)
        resolve()
      })
    }
  })
  // If the bench itself fails in a way that leaves no time to stop its servers.
  const kill = () => child.kill('SIGKILL')
  // Before the one that removes the servers' folder.
  process.prependListener('exit', kill)
  const program = {
    pid: child.pid,
    async ready(connect) {
      const deadline = Date.now() + 60_000
      for (;;) {
        try {
          return await connect()
        } catch (error) {
          if (ended || Date.now() > deadline) throw new Error(`${path} did not start: ${error.message}\n${output}`)
          await new Promise((resolve) => setTimeout(resolve, 100))
        }
      }
    },
    async stop() {
      if (!ended) child.kill(stopSignal)
      const killer = setTimeout(() => child.kill('SIGKILL'), 10_000)
      await exit
      clearTimeout(killer)
    }
  }
  programs.add(program)
  return program
}

/** Runs a program to its end; answers its output or throws it. */
export function run(program, args, identity = {}) {
  const { status, error, stdout, stderr } = spawnSync(program, args, { ...identity, encoding: 'utf8' })
  if (error) throw error
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${(stderr || stdout).slice(-2000)}`)
  return stdout.trim()
}

/** PostgreSQL and MariaDB refuse to run as root: then as the user that Debian made for them. */
export function identityOf(user) {
  if (process.getuid?.() !== 0) return {}
  return { uid: Number(run('id', ['-u', user])), gid: Number(run('id', ['-g', user])) }
}

export async function freePort() {
  const server = createServer()
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** The first folder of PATH, or of `folders`, that has the program. */
export function findProgram(program, folders = []) {
  const path = (process.env.PATH ?? '').split(':').concat('/usr/sbin', '/usr/local/sbin', '/opt/homebrew/bin')
  return [...folders, ...path].map((folder) => join(folder, program)).find(exists)
}

function exists(file) {
  return spawnSync('test', ['-x', file]).status === 0
}

export function makeFolder(path, { uid, gid } = {}) {
  mkdirSync(path)
  if (uid !== undefined) run('chown', [`${uid}:${gid}`, path])
  return path
}

const tickMs = 10

/**
 * CPU that a server's processes have used, in milliseconds: user and system time of /proc/<pid>/stat, of the first process, its children
 * and those it has outlived. Null where there is no /proc.
 */
export function serverCpuMs(pid) {
  try {
    const { ticks, endedTicks } = readStat(pid)
    let sum = ticks + endedTicks
    for (const entry of readdirSync('/proc')) {
      if (!/^\d+$/.test(entry)) continue
      const stat = tryReadStat(entry)
      if (stat?.parent === pid) sum += stat.ticks
    }
    return sum * tickMs
  } catch {
    return null
  }
}

function tryReadStat(pid) {
  try {
    return readStat(pid)
  } catch {
    // It ended between the listing and the reading.
    return undefined
  }
}

function readStat(pid) {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The program's name is in parentheses and may itself have spaces: the fields after it are counted from its end.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const number = (index) => Number(fields[index])
  return { parent: number(1), ticks: number(11) + number(12), endedTicks: number(13) + number(14) }
}
