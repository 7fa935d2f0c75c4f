import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Backend } from '../races/backends.mjs'
import { Browser } from '../races/browser.mjs'
import {
  connectionsKilled,
  type OutageResult,
  patienceMs,
  serverDown,
  serverFrozen,
  startTogether,
  statementsPerPage,
  tableDropped,
  touchHangs
} from '../races/outages.mjs'
import { lostUpdates, type RaceResult, resurrections, staleReads } from '../races/races.mjs'
import { Site } from '../races/sites.mjs'
import type { Contender } from '../races/stores.mjs'
import { type Entry, onEmptyDatabase } from './contenders.mjs'

/** One cell of the table. `bad` is printed in bold. */
export interface Cell {
  readonly text: string
  readonly bad: boolean
  readonly data: unknown
}

/** By the title of its row. */
export type Column = Record<string, Cell>

const notApplicable: Cell = { text: '–', bad: false, data: null }

/** What goes wrong when requests race, and what a page costs: two processes on one database. */
export function races(entry: Entry, rounds: number): Promise<Column> {
  return onEmptyDatabase(entry, async (contender, backend) => {
    await using one = await Site.start(contender)
    // Some stores die of two processes that make the table at once: that has a row of its own.
    await new Browser().open(one.url('express', '/login'))
    await using two = await Site.start(contender)
    const shared = entry.database === 'memory' ? undefined : ([one, two] as const)
    const both = shared ?? ([one] as const)
    const expiring = { rounds, atOnce: 25, killer: 'expiry', lifeMs: 1_500 } as const
    const column: Column = {
      'Two requests at once change the session, one process: a change is lost': race(await lostUpdates([one], { rounds })),
      '… two processes: a change is lost': shared ? race(await lostUpdates(shared, { rounds })) : notApplicable,
      'Logout during a slow request that changes the session: logged in again': race(
        await resurrections(both, { rounds, killer: 'logout', reviver: 'change' })
      ),
      '… that only reads it, `resave: true`: logged in again': race(
        await resurrections(both, { rounds, killer: 'logout', reviver: 'read', application: 'resaving' })
      ),
      '… that only reads it, @fastify/session: logged in again': race(
        await resurrections(both, { rounds, killer: 'logout', reviver: 'read', application: 'fastify' })
      ),
      'Expiry during a slow request that changes the session: alive again': race(
        await resurrections(both, { ...expiring, reviver: 'change' })
      ),
      '… that only reads it: alive again': race(await resurrections(both, { ...expiring, reviver: 'read' })),
      'Database statements for a page, one visitor / 50 at once': backend.counter ? await pageCost(one, backend.counter) : notApplicable
    }
    await backend.slowWrites?.(150)
    const stale = race(await staleReads([one], { rounds, atOnce: 10 }))
    const slowed = backend.slowWrites ? '' : ' (not slowed)'
    column['Login, redirect, next page; a write takes 150 ms: the page does not know the login'] = { ...stale, text: stale.text + slowed }
    return column
  })
}

/** What becomes of a process whose database is ill. */
export async function outages(entry: Entry): Promise<Column> {
  const onSite = (work: (site: Site, backend: Backend) => Promise<OutageResult> | undefined, show = outage) =>
    onEmptyDatabase(entry, async (contender, backend) => {
      await using site = await Site.start(contender)
      const result = await work(site, backend)
      return result ? show(result) : notApplicable
    })
  return {
    'The table is dropped': await onSite((site, { dropTables }) => dropTables && tableDropped(site, dropTables)),
    'The server ends its connections': await onSite(
      (site, { killConnections }) => killConnections && connectionsKilled(site, killConnections)
    ),
    'The server is down for a moment': await onSite((site, { line }) => line && serverDown(site, line), unavailable),
    'Eight processes start at once on an empty database': await onEmptyDatabase(entry, async (contender) => starts(contender))
  }
}

/** How long visitors wait for a server that stands still. Its own part, because it is nothing but waiting. */
export async function frozen(entry: Entry): Promise<Column> {
  const onSite = (work: (site: Site, line: NonNullable<Backend['line']>) => Promise<OutageResult>) =>
    onEmptyDatabase(entry, async (contender, { line }) => {
      if (!line) return notApplicable
      await using site = await Site.start(contender)
      return waiting(await work(site, line))
    })
  const [server, touch] = await Promise.all([onSite(serverFrozen), onSite(touchHangs)])
  return { 'The server stands still: a visitor gets an answer after': server, '… when the session is touched: the page ends after': touch }
}

/** How many of the specs of `sessionStoreContract` fail. */
export async function contract(entry: Entry): Promise<Column> {
  const report = await onEmptyDatabase(entry, contractOn)
  const { specs, failed, skipped } = report
  const text = `${failed.length} of ${specs - skipped}`
  return { 'Specs of the contract of a store that fail': { text, bad: failed.length > 0, data: report } }
}

export interface ContractReport {
  specs: number
  skipped: number
  failed: string[]
}

/** Runs the specs of the contract on a store, in a process of their own. */
export async function contractOn(contender: Contender): Promise<ContractReport> {
  const hook = pathToFileURL(join(import.meta.dirname, '../races/resolve-mts.mjs')).href
  const child = fork(join(import.meta.dirname, 'contract.process.mts'), {
    execArgv: ['--import', hook],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc']
  })
  child.send(contender)
  const ended = once(child, 'exit').then(() => {
    throw new Error(`the contract on ${contender.store} did not come to its end`)
  })
  ended.catch(() => undefined)
  const [report] = (await Promise.race([once(child, 'message'), ended])) as [ContractReport]
  return report
}

function race(result: RaceResult): Cell {
  const { rounds, wrong, failed } = result
  const failures = failed > 0 ? `, ${failed} requests failed` : ''
  return { text: `${wrong} of ${rounds}${failures}`, bad: wrong > 0 || failed > 0, data: result }
}

async function pageCost(site: Site, counter: NonNullable<Backend['counter']>): Promise<Cell> {
  const alone = await statementsPerPage(site, counter, { pages: 100, atOnce: 1 })
  const many = await statementsPerPage(site, counter, { pages: 1_000, atOnce: 50 })
  return { text: `${alone.statements} / ${many.statements}`, bad: false, data: { alone, many } }
}

function outage(result: OutageResult): Cell {
  const { died, failed, requests, recovered } = result
  if (died) return { text: 'the process dies', bad: true, data: result }
  if (!recovered) return { text: `${failed} of ${requests} requests fail, and so on until a restart`, bad: true, data: result }
  return { text: failed === 0 ? 'all requests served' : `${failed} of ${requests} requests fail`, bad: failed > 0, data: result }
}

/** Nobody can serve a request without its database: what counts is that the process lives and recovers. */
function unavailable(result: OutageResult): Cell {
  return result.died || !result.recovered ? outage(result) : { text: 'errors until it is back', bad: false, data: result }
}

function waiting(result: OutageResult): Cell {
  if (result.died) return { text: 'the process dies', bad: true, data: result }
  const forEver = result.slowestMs >= patienceMs
  return {
    text: forEver ? `never (${patienceMs / 1000} s and more)` : `${Math.round(result.slowestMs / 1000)} s`,
    bad: forEver,
    data: result
  }
}

async function starts(contender: Contender): Promise<Cell> {
  const result = await startTogether(contender, 8)
  const { failed, processes } = result
  return { text: failed === 0 ? 'all serve' : `${failed} of ${processes} fail`, bad: failed > 0, data: result }
}
