import { execFileSync } from 'node:child_process'
import { closeSync, fdatasyncSync, openSync, readFileSync, statfsSync, writeSync } from 'node:fs'
import { arch, cpus, release, totalmem, type } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { quantile } from './measure.mjs'

const packages = [
  'knex-session-store',
  'express',
  'express-session',
  'knex',
  'pg',
  'mysql2',
  'better-sqlite3',
  'redis',
  'connect-pg-simple',
  'connect-redis',
  'connect-session-knex',
  'better-sqlite3-session-store',
  'autocannon'
]

/** The header of a result: what is needed to compare it with another machine's, and nothing that names this one. */
export function describeMachine(servers, plan) {
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: commit(),
    machine: {
      cores: cpus().length,
      cpu: cpus()[0]?.model.trim(),
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      os: `${distribution()} (${type()} ${release().split('-')[0]}, ${arch()})`,
      fsyncMs: fsyncMs(servers.directory),
      disk: isMemoryDisk(servers.directory) ? 'in memory: fsync is free here, do not publish this run' : 'a disk'
    },
    node: process.version,
    servers: { ...serverNotes(servers), sqlite: `SQLite ${sqliteVersion()} (WAL, synchronous NORMAL, cache 512 MB)` },
    packages: Object.fromEntries(packages.map((name) => [name, packageVersion(name)])),
    plan: { full: plan.full, rounds: plan.rounds, seconds: plan.seconds, httpRounds: plan.httpRounds, httpSeconds: plan.httpSeconds }
  }
}

function serverNotes(servers) {
  const entries = ['pg', 'mysql', 'redis'].filter((kind) => servers[kind]?.url)
  return Object.fromEntries(entries.map((kind) => [kind, `${servers[kind].version} (${servers[kind].note})`]))
}

function commit() {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return null
  }
}

function distribution() {
  try {
    return /^PRETTY_NAME="(.*)"$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? type()
  } catch {
    return type()
  }
}

function packageVersion(name) {
  const path = name === 'knex-session-store' ? '../package.json' : `../node_modules/${name}/package.json`
  return JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')).version
}

function sqliteVersion() {
  const database = new Database(':memory:')
  const version = database.prepare('SELECT sqlite_version()').pluck().get()
  database.close()
  return version
}

/** The median time of a durable 8 KB write where the servers keep their data: what one commit must cost at least. */
function fsyncMs(directory) {
  const file = openSync(join(directory, 'fsync-probe'), 'w')
  const block = Buffer.alloc(8192)
  const times = Array.from({ length: 50 }, () => {
    const start = performance.now()
    writeSync(file, block, 0, block.length, 0)
    fdatasyncSync(file)
    return performance.now() - start
  })
  closeSync(file)
  return Number(
    quantile(
      times.sort((a, b) => a - b),
      0.5
    ).toFixed(3)
  )
}

function isMemoryDisk(directory) {
  const tmpfs = 0x01021994
  return statfsSync(directory).type === tmpfs
}
