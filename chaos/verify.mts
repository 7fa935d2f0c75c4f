// Runs what this package promises against a database that runs already: the contract of a session store, the races of two processes, and the
// faults that take no more than a line to it. For the databases that nobody here can run. It makes tables called chaos_… and drops them.
import '../spec/races/resolve-mts.mjs'
import { contractOn } from '../spec/peers/measurements.mts'
import { lostUpdates, resurrections } from '../spec/races/races.mts'
import { Site } from '../spec/races/sites.mts'
import { conclude, readFlags, runCommand, UsageError } from './command.mts'
import { scenarios } from './scenarios/index.mts'
import { ALL_KEPT, type Row, timesOf } from './scenarios/scenario.mts'
import { connectAdmin, newName } from './servers/server.mts'
import type { DatabaseName } from './stores.mts'
import { tableOf } from './table.mts'

const USAGE = `npm run verify -- --url URL   runs what this package promises against a database that runs already

  --url URL        postgres://…, mysql://… or cockroachdb://…
  --client NAME    cockroachdb, for a URL that begins with postgres://
  --rounds N       of each race (20)
  --seconds N      how long each fault lasts
  --visitors N     how many visitors there are at once (60)

It makes tables called chaos_… there, and drops them.`

const { values: given } = readFlags(USAGE, {
  options: {
    url: { type: 'string' },
    client: { type: 'string' },
    rounds: { type: 'string', default: '20' },
    seconds: { type: 'string' },
    visitors: { type: 'string', default: '60' }
  }
})

await runCommand(USAGE, main)

async function main(): Promise<number> {
  if (!given.url || !URL.canParse(given.url))
    throw new UsageError('--url is the URL of a database: postgres://…, mysql://… or cockroachdb://…')
  const scheme = new URL(given.url).protocol
  const database: DatabaseName = /^(mysql|mariadb):$/.test(scheme) ? 'mysql' : 'postgres'
  const client = given.client ?? (scheme === 'cockroachdb:' ? 'cockroachdb' : undefined)
  const url = given.url.replace(/^[a-z]+:/, `${database}:`)
  const complaints = [...(await verifyContract(database, url, client)), ...(await verifyRaces(database, url, client))]
  const rows = await breakTheLine(database, url, client)
  console.log(tableOf(rows))
  complaints.push(...rows.flatMap(({ scenario, faults }) => faults.map((fault) => `${scenario}: ${fault}`)))
  return conclude(complaints, 'all is as promised', `${complaints.length} promises are not kept`)
}

async function verifyContract(database: DatabaseName, url: string, client: string | undefined): Promise<string[]> {
  return await inTable(database, url, client, async (contender) => {
    const { specs, skipped, failed } = await contractOn(contender)
    console.log(`contract: ${specs - skipped - failed.length} of ${specs - skipped} specs pass`)
    return failed.map((title) => `contract: ${title}`)
  })
}

async function verifyRaces(database: DatabaseName, url: string, client: string | undefined): Promise<string[]> {
  return await inTable(database, url, client, async (contender) => {
    await using one = await Site.start(contender)
    await using two = await Site.start(contender)
    const both = [one, two] as const
    const rounds = Number(given.rounds)
    const races = {
      'a change is lost': await lostUpdates(both, { rounds }),
      'logged in again after a logout': await resurrections(both, { rounds, killer: 'logout', reviver: 'change' }),
      'alive again after its expiry': await resurrections(both, { rounds, atOnce: 25, killer: 'expiry', lifeMs: 1_500, reviver: 'change' })
    }
    for (const [what, { rounds: of, wrong, failed }] of Object.entries(races))
      console.log(`race: ${what}: ${wrong} of ${of}, ${failed} failed`)
    return Object.entries(races).flatMap(([what, { wrong, failed }]) => (wrong + failed > 0 ? [`race: ${what}`] : []))
  })
}

async function breakTheLine(database: DatabaseName, url: string, client: string | undefined): Promise<Row[]> {
  const rows: Row[] = []
  for (const scenario of scenarios) {
    const row = await scenario.runOn?.(database, url, {
      store: 'knex-session-store',
      scenario: scenario.name,
      ...timesOf(scenario, given.seconds),
      visitors: Number(given.visitors),
      options: {},
      promised: ALL_KEPT,
      noErrors: false,
      say: () => undefined,
      client
    })
    if (row === undefined) continue
    rows.push(row)
    console.log(`${scenario.name}: ${row.faults.join(', ') || 'clean'}`)
  }
  return rows
}

interface Contender {
  readonly store: 'knex-session-store'
  readonly database: 'postgres' | 'mysql'
  readonly url: string
  readonly client: string | undefined
  readonly options: { readonly tableName: string }
}

async function inTable<Result>(
  database: DatabaseName,
  url: string,
  client: string | undefined,
  work: (contender: Contender) => Promise<Result>
): Promise<Result> {
  const tableName = newName()
  try {
    return await work({ store: 'knex-session-store', database: database as Contender['database'], url, client, options: { tableName } })
  } finally {
    await using admin = await connectAdmin(database, url)
    await admin.query(`DROP TABLE IF EXISTS ${tableName}`)
  }
}
