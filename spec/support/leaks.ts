import { syncBuiltinESMExports } from 'node:module'
import { resolve } from 'node:path'
import timers from 'node:timers'
import type { Knex } from 'knex'

/** Something that a spec should have given back. */
export interface Leak {
  readonly what: 'timer' | 'connection' | 'database'
  readonly detail: string
}

interface OwnTimer {
  readonly timer: NodeJS.Timeout
  readonly createdAt: string
}

interface WatchedDatabase {
  readonly label: string
  readonly database: AsyncDisposable
}

interface Watch {
  readonly timers: Set<OwnTimer>
  readonly instances: Set<Knex>
  readonly databases: Set<WatchedDatabase>
  /** Leaks that were there when the spec began: another spec's, or kept by a hook on purpose. */
  known: ReadonlyMap<unknown, number>
  perFile: boolean
  /** Taken before vi.useFakeTimers() could lie over them: under fake ones, waiting would never end. */
  readonly sleep: (ms: number) => Promise<void>
  readonly now: () => number
}

const ROOT = resolve(__dirname, '../..')
const SETTLING_MS = 2000
const SWEEP_AT = 1000

// On globalThis, because vi.resetModules() makes a second copy of this module in the middle of a spec file.
const KEY = Symbol.for('knex-session-store/spec-leak-watch')
const holder = globalThis as { [KEY]?: Watch }
holder[KEY] ??= startWatch()
const watch: Watch = holder[KEY]

/** From now on a connection of this instance that is still out at the end of a spec is a leak. */
export function watchKnex(knex: Knex): void {
  watch.instances.add(knex)
}

/** Until the returned function is called, the database counts as open; one that is still open at the end of its file is a leak. */
export function watchDatabase(label: string, database: AsyncDisposable): () => void {
  const entry = { label, database }
  watch.databases.add(entry)
  return () => watch.databases.delete(entry)
}

/**
 * For a spec file that keeps a store over several specs, or whose specs are concurrent: what is open is then looked at once, after the file's last
 * spec, and not after each.
 * Call it at the top of the file.
 */
export function checkLeaksPerFile(): void {
  watch.perFile = true
}

export function checksLeaksPerFile(): boolean {
  return watch.perFile
}

/** Real time, also under vi.useFakeTimers(). */
export function pause(ms: number): Promise<void> {
  return watch.sleep(ms)
}

/** What is open now belongs to a hook, or to a spec that has been blamed for it, and not to the spec that begins. */
export function beginSpec(): void {
  watch.known = countOpen()
}

/** What the spec has left open since `beginSpec`. It waits a little for what is just being given back. */
export async function leaksOfSpec(settlingMs = SETTLING_MS): Promise<Leak[]> {
  return afterSettling(() => newLeaks(watch.known), settlingMs)
}

/** What the whole file has left open. Databases are closed on the way, so that nothing stays on the server. */
export async function leaksOfFile(settlingMs = SETTLING_MS): Promise<Leak[]> {
  const unclosed = [...watch.databases]
  const leaks = await afterSettling(() => newLeaks(new Map()), settlingMs)
  for (const { label, database } of unclosed) {
    leaks.push({ what: 'database', detail: `${label} was opened and never disposed` })
    // Said already, in other words.
    await Promise.resolve(database[Symbol.asyncDispose]()).catch(() => undefined)
  }
  return leaks
}

/** Throws an error that lists the leaks, if there are any. */
export function failOnLeaks(where: 'spec' | 'spec file', leaks: readonly Leak[]): void {
  if (leaks.length === 0) return
  throw new Error(`this ${where} leaves open:\n${leaks.map(({ what, detail }) => `  ${what}: ${detail}`).join('\n')}`)
}

async function afterSettling(find: () => Leak[], settlingMs: number): Promise<Leak[]> {
  const deadline = watch.now() + settlingMs
  let leaks = find()
  while (leaks.length > 0 && watch.now() < deadline) {
    await watch.sleep(10)
    leaks = find()
  }
  return leaks
}

function newLeaks(known: ReadonlyMap<unknown, number>): Leak[] {
  const leaks: Leak[] = []
  for (const [thing, count] of countOpen()) {
    const more = count - (known.get(thing) ?? 0)
    if (more <= 0) continue
    leaks.push(describeLeak(thing, more))
  }
  return leaks
}

function describeLeak(thing: unknown, count: number): Leak {
  if (isOwnTimer(thing)) return { what: 'timer', detail: `a timer is still running, made${thing.createdAt}` }
  return {
    what: 'connection',
    detail: `${count} connection(s) of a Knex instance in use or waited for: an open transaction, or an unawaited query`
  }
}

function isOwnTimer(thing: unknown): thing is OwnTimer {
  return typeof thing === 'object' && thing !== null && 'timer' in thing
}

function countOpen(): Map<unknown, number> {
  const open = new Map<unknown, number>()
  for (const knex of watch.instances) {
    const pool = poolOf(knex)
    if (pool === undefined) watch.instances.delete(knex)
    else if (pool.numUsed() + pool.numPendingAcquires() > 0) open.set(knex, pool.numUsed() + pool.numPendingAcquires())
  }
  for (const own of watch.timers) {
    if (isOver(own.timer)) watch.timers.delete(own)
    else open.set(own, 1)
  }
  return open
}

interface Pool {
  numUsed(): number
  numPendingAcquires(): number
}

/** Undefined after `destroy()`. */
function poolOf(knex: Knex): Pool | undefined {
  return (knex.client as { pool?: Pool }).pool
}

/** Node offers no public way to ask an unref'ed timer; leak-check.spec.ts fails should this one go away. */
function isOver(timer: NodeJS.Timeout): boolean {
  return (timer as unknown as { _destroyed: boolean })._destroyed
}

/**
 * Notes the timers that our own code makes: those of vitest, Knex and the drivers are theirs to keep. Looking at what keeps the event loop alive
 * (process.getActiveResourcesInfo) would miss those that matter, for a store's timers are unref'ed.
 */
function startWatch(): Watch {
  const own = new Set<OwnTimer>()
  const realSetTimeout = timers.setTimeout
  for (const name of ['setTimeout', 'setInterval'] as const) {
    const real = globalThis[name] as (...args: unknown[]) => NodeJS.Timeout
    const watched = (...args: unknown[]) => {
      const timer = real(...args)
      const createdAt = ownCaller()
      if (createdAt === undefined) return timer
      if (own.size >= SWEEP_AT) for (const entry of own) if (isOver(entry.timer)) own.delete(entry)
      own.add({ timer, createdAt })
      return timer
    }
    // util.promisify and others look for properties of the real one.
    Object.defineProperties(watched, Object.getOwnPropertyDescriptors(real))
    Object.assign(globalThis, { [name]: watched })
    Object.assign(timers, { [name]: watched })
  }
  syncBuiltinESMExports()
  return {
    timers: own,
    instances: new Set(),
    databases: new Set(),
    known: new Map(),
    perFile: false,
    sleep: (ms) => new Promise((wake) => realSetTimeout(wake, ms)),
    now: performance.now.bind(performance)
  }
}

/** The line of lib/ or of a spec that called the timer function, if it was one of ours that called it directly. */
function ownCaller(): string | undefined {
  const caller = new Error().stack
    ?.split('\n')
    .slice(3)
    .find((line) => !line.includes('node:'))
  if (caller === undefined || !caller.includes(ROOT) || caller.includes('node_modules')) return undefined
  return caller.replace(/^\s*at/, ' at')
}
