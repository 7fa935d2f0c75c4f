import { setTimeout as sleep } from 'node:timers/promises'
import { ownership } from './children.mts'
import { SiteProcess } from './fleet.mts'
import type { Losses } from './oracle.mts'
import { type Admin, connectAdmin, dropProbeTable, listConnections, makeProbeTable, tryPlainWrite } from './servers/server.mts'
import type { Contender, DatabaseName, StoreName } from './stores.mts'
import { Visitors } from './visitors.mts'

/** Where a scenario takes place: a database of its own, and what the runner knows of it. */
export interface Place {
  readonly database: DatabaseName
  /** Where each process of the site finds the database; with one, all go there. */
  readonly urls: readonly string[]
  /** The name of the database, as its server lists connections. Undefined where connections cannot be counted. */
  readonly name: string | undefined
  /** What a plain connection writes to find out whether all is well, where an update of one row does not tell. */
  readonly probe?: () => string
  /** How much text each session has besides, so that a disk gets full. */
  readonly ballastBytes?: number
  /** Whether a pooler keeps connections to the server, so that idle ones say nothing. */
  readonly isPooled?: boolean
  /** How many connections of the processes there are on the line, also where the server cannot be asked. */
  readonly onLine?: () => number
  /** What the machines would do in the end with connections that nobody has ended. */
  readonly sweep?: () => void
  /** What the runner sends before it asks a server for its connections, so that a server which has left its cluster answers too. */
  readonly beforeAsking?: string
  /** Where the runner itself reaches the servers that are alive, past everything that is broken. */
  direct(): readonly string[]
}

export interface Run {
  readonly store: StoreName
  readonly scenario: string
  readonly seconds: number
  readonly visitors: number
  readonly timeoutMs: number
  readonly options: Record<string, unknown>
  /** Which classes of acknowledged writes the setting promises to keep. */
  readonly promised: Readonly<Record<'sets' | 'touches' | 'destroys', boolean>>
  readonly noErrors: boolean
  /** Errors of the server without which the scenario has proved nothing. */
  readonly mustOccur?: readonly string[] | undefined
  readonly say: (text: string) => void
  readonly packageFolder?: string | undefined
  readonly client?: string | undefined
}

/** What was found. */
export interface Row {
  readonly scenario: string
  readonly store: string
  readonly database: string
  readonly seconds: number
  readonly requests: number
  readonly errors: number
  readonly reasons: Readonly<Record<string, number>>
  /** What the server said to the store, also where the store tried again: by number, MariaDB only. */
  readonly serverErrors: Readonly<Record<string, number>>
  readonly mustOccur: readonly string[]
  readonly longestOutageMs: number
  readonly lost: Losses
  readonly promised: Run['promised']
  readonly noErrors: boolean
  readonly callbacksMissing: number
  readonly callbacksTwice: number
  readonly crashes: number
  readonly lastWords: string
  readonly connectionsLeft: number | null
  /** What they do. */
  readonly connections: readonly string[]
  /** From the first plain connection that worked again to the first write that each process served. Null where no plain connection failed. */
  readonly recoveredAfterMs: number | null
  /** When something was broken or mended, in milliseconds since the runner began, as in the examples of what was lost. */
  readonly marks: readonly string[]
  readonly faults: readonly string[]
}

/** How long after the fault each process may take to serve a write again, before that is given up. */
const RECOVERY_MS = 60_000
const PROBE_MS = 25
const PROCESSES = 3

/** What a scenario is given to break things with. */
export interface Scene {
  readonly seconds: number
  readonly sites: readonly SiteProcess[]
  readonly visitors: Visitors
  /** Starts a process of another version, sends visitors there in place of the process of this number, and ends that as a deployment does. */
  replace(number: number, packageFolder: string | undefined): Promise<void>
  wait(seconds: number): Promise<void>
  /** Writes down when something was broken or mended. */
  mark(what: string): void
}

/** Runs the site under load, breaks something, and says what was found when all is well again. */
export async function runScene(place: Place, run: Run, breakIt: (scene: Scene) => Promise<void>): Promise<Row> {
  await using stack = new AsyncDisposableStack()
  const owned = ownership(stack)
  const urlOf = (number: number) => place.urls[number % place.urls.length] as string
  const contender: Omit<Contender, 'url'> = {
    store: run.store,
    database: place.database,
    ballastBytes: place.ballastBytes,
    options: { timeoutMs: run.timeoutMs, ...run.options },
    packageFolder: run.packageFolder,
    client: run.client
  }
  await makeProbeTable(place.database, urlOf(0))
  stack.defer(() => dropProbeTable(place.database, urlOf(0)))
  const sites: SiteProcess[] = []
  // One after the other: peers cannot make their tables at once.
  for (let number = 0; number < PROCESSES; number++) {
    sites.push(owned(await SiteProcess.start({ ...contender, url: urlOf(number) })))
    if (number === 0) await (sites[0] as SiteProcess).order('read', ['nobody'])
  }
  const visitors = new Visitors(sites, { visitors: run.visitors, patienceMs: run.timeoutMs * 3 + 5_000 })
  const progress = setInterval(() => {
    run.say(`${visitors.requests} requests, ${visitors.errors} errors, ${visitors.inFlight} in flight`)
  }, 1_000)
  stack.defer(() => clearInterval(progress))

  visitors.start()
  await sleep(Math.min(3_000, run.seconds * 500))
  const probe = new Probe(place)
  const marks: string[] = []
  const mark = (what: string) => void marks.push(`${Math.round(performance.now())} ${what}`)
  visitors.watch()
  probe.start()
  const replace = async (number: number, packageFolder: string | undefined) => {
    const old = sites[number] as SiteProcess
    sites[number] = owned(await SiteProcess.start({ ...contender, url: urlOf(number), packageFolder }))
    visitors.direct(sites)
    // What is under way there has its answer first.
    await sleep(run.timeoutMs / 5)
    await until(run.timeoutMs, async () => (await old.order('calls')).waiting === 0)
    await old.order('close')
    await old[Symbol.asyncDispose]()
  }
  await breakIt({ seconds: run.seconds, sites, visitors, replace, wait: (seconds) => sleep(seconds * 1000), mark })
  mark('all is mended')
  // From here on the servers are as well as they will be.
  await until(RECOVERY_MS, () => probe.isWell && living(sites).every((site) => visitors.firstWriteAfter(site, probe.wellAt) !== undefined))
  // Before the probe stops: its last connection may be one that the fault has left behind.
  const recoveredAfterMs = recovery(probe, visitors, living(sites))
  await probe.stop()
  await sleep(1_000)
  await visitors.stop()

  await until(run.timeoutMs * 3, async () => (await callsOf(sites)).waiting === 0)
  const { waiting, twice } = await callsOf(sites)
  const serverErrors = await serverErrorsOf(sites)
  run.say(`auditing ${visitors.oracle.sessions.length} sessions`)
  const left = living(sites)
  // Where none is left, somebody starts one again.
  const auditors = left.length > 0 ? left : [owned(await SiteProcess.start({ ...contender, url: urlOf(0) }))]
  const lost = await visitors.oracle.audit(auditors, run.store === 'knex-session-store' || run.store === 'broken')
  const busy = await connectionsLeft(place, 'busy')
  await Promise.all(auditors.map((site) => site.order('close').catch(() => undefined)))
  // Before the sweep, which would hide what a process has not ended.
  const held = await heldOnLine(place)
  place.sweep?.()
  const open = await connectionsLeft(place, place.isPooled ? 'busy' : 'open')
  const crashed = sites.filter((site) => site.died)
  const row: Omit<Row, 'faults'> = {
    scenario: run.scenario,
    store: run.store,
    database: place.database,
    seconds: run.seconds,
    requests: visitors.requests,
    errors: visitors.errors,
    reasons: Object.fromEntries(visitors.reasons),
    serverErrors,
    mustOccur: run.mustOccur ?? [],
    longestOutageMs: Math.round(visitors.longestOutageMs),
    lost,
    promised: run.promised,
    noErrors: run.noErrors,
    callbacksMissing: waiting,
    callbacksTwice: twice,
    crashes: crashed.length,
    lastWords: crashed[0]?.lastWords ?? '',
    connectionsLeft: busy === null && held === null ? null : Math.max(busy?.length ?? 0, open?.length ?? 0, held ?? 0),
    connections: [...(busy ?? []), ...(open ?? []), ...(held ? [`on the line: ${held}`] : [])],
    marks,
    recoveredAfterMs
  }
  return { ...row, faults: faultsOf(row) }
}

/** What a row must not have. */
export function faultsOf(row: Omit<Row, 'faults'>): string[] {
  const { lost, promised } = row
  const faults = {
    crashes: row.crashes,
    'callbacks missing': row.callbacksMissing,
    'callbacks called twice': row.callbacksTwice,
    'sets lost': promised.sets ? lost.sets : 0,
    'touches lost': promised.touches ? lost.touches : 0,
    'destroys lost': promised.destroys ? lost.destroys : 0,
    'risen from the dead': promised.destroys ? lost.risen : 0,
    'updates lost': promised.sets ? lost.lostUpdates : 0,
    'requests failed': row.noErrors ? row.errors : 0,
    'connections left': row.connectionsLeft ?? 0,
    'slow to recover (ms)': row.recoveredAfterMs !== null && row.recoveredAfterMs > 1_000 ? row.recoveredAfterMs : 0
  }
  const found = Object.entries(faults)
    .filter(([, count]) => count > 0)
    .map(([what, count]) => `${count} ${what}`)
  const missed = row.mustOccur.filter((error) => !row.serverErrors[error])
  return [...found, ...missed.map((error) => `error ${error} never came, so this proves nothing`)]
}

function living(sites: readonly SiteProcess[]): SiteProcess[] {
  return sites.filter((site) => !site.died)
}

async function callsOf(sites: readonly SiteProcess[]): Promise<{ waiting: number; twice: number }> {
  const calls = await Promise.all(living(sites).map((site) => site.order('calls')))
  return {
    waiting: calls.reduce((sum, { waiting }) => sum + waiting, 0),
    twice: calls.reduce((sum, { twice }) => sum + twice, 0)
  }
}

async function serverErrorsOf(sites: readonly SiteProcess[]): Promise<Record<string, number>> {
  const all: Record<string, number> = {}
  for (const site of living(sites)) {
    for (const [error, count] of Object.entries(await site.order('serverErrors'))) all[error] = (all[error] ?? 0) + count
  }
  return all
}

function recovery(probe: Probe, visitors: Visitors, sites: readonly SiteProcess[]): number | null {
  const { wellAt } = probe
  if (!probe.hasFailed) return null
  if (wellAt === undefined) return RECOVERY_MS
  const times = sites.map((site) => (visitors.firstWriteAfter(site, wellAt) ?? wellAt + RECOVERY_MS) - wellAt)
  return Math.round(Math.max(0, ...times))
}

/** Connections that are still there, or still busy, after the moment that they need. */
async function connectionsLeft(place: Place, which: 'open' | 'busy'): Promise<string[] | null> {
  const { name, beforeAsking } = place
  if (name === undefined) return null
  const left: string[] = []
  for (const url of place.direct()) {
    await using admin: Admin = await connectAdmin(place.database, url)
    if (beforeAsking !== undefined) await admin.query(beforeAsking)
    let here: string[] = []
    await until(3_000, async () => {
      const all = await listConnections(place.database, admin, name)
      here = all.filter(({ isIdle }) => which === 'open' || !isIdle).map(({ what }) => `${which}: ${what}`)
      return here.length === 0
    })
    left.push(...here)
  }
  return left
}

/** Connections that the processes have not ended, although their pools are destroyed. */
async function heldOnLine({ onLine }: Place): Promise<number | null> {
  if (onLine === undefined) return null
  await until(3_000, () => onLine() === 0)
  return onLine()
}

async function until(limitMs: number, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + limitMs
  while (performance.now() < deadline && !(await isTrue())) await sleep(20)
}

/** Makes one plain connection after the other on the ways that the site takes, and one write on each. */
class Probe {
  hasFailed = false
  /** When a plain connection first worked after the last one that did not. */
  wellAt: number | undefined
  readonly #place: Place
  #isStopped = false
  #running: Promise<unknown> = Promise.resolve()

  constructor(place: Place) {
    this.#place = place
  }

  get isWell(): boolean {
    return this.wellAt !== undefined
  }

  start(): void {
    this.#running = this.#probe()
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#running
  }

  async #probe(): Promise<void> {
    while (!this.#isStopped) {
      try {
        for (const url of new Set(this.#place.urls)) await tryPlainWrite(this.#place.database, url, this.#place.probe?.())
        this.wellAt ??= performance.now()
      } catch {
        this.hasFailed = true
        this.wellAt = undefined
      }
      await sleep(PROBE_MS)
    }
  }
}
