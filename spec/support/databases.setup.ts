import type { TestProject } from 'vitest/node'
import type { LocalServer } from './local-server'
import { findRunningMysql, startMariadb, startMysql } from './mysql-server'
import { startPostgres } from './postgres-server'

/** Where a database is, or why it is not there. */
export type Availability = { readonly url: string } | { readonly missing: string }

declare module 'vitest' {
  export interface ProvidedContext {
    /** Names from TEST_DATABASES; all when it is not set. */
    chosenDatabases: string[] | null
    postgres: Availability
    mysql: Availability
    cockroach: Availability
  }
}

const NOT_CHOSEN: Availability = { missing: 'not in TEST_DATABASES' }
const GET_MYSQL = 'apt-get install mariadb-server, or set TEST_MYSQL_URL=mysql://root@127.0.0.1:3306'
const GET_COCKROACH = 'set TEST_COCKROACH_URL=postgres://root@127.0.0.1:26257/defaultdb?sslmode=disable'

/**
 * Finds or starts the databases of this run, before the first spec, and stops after the last what it has started.
 *
 * TEST_DATABASES=sqlite,postgres,pglite,mysql,cockroach chooses (SQLite and PGlite need nothing). TEST_PG_URL, TEST_MYSQL_URL and TEST_COCKROACH_URL name servers
 * that run already; their user must be allowed to create databases. TEST_PG_BINARIES=system or embedded takes only these binaries.
 * TEST_MYSQL=mysql starts a MySQL instead of a MariaDB.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const chosen = chosenDatabases()
  const started: LocalServer[] = []
  const stopAll = async () => {
    await Promise.all(started.splice(0).map((server) => server.stop()))
  }
  try {
    const isChosen = (name: string) => chosen === null || chosen.includes(name)
    const [postgres, mysql] = await allOrNone([
      isChosen('postgres') ? findPostgres(started) : NOT_CHOSEN,
      isChosen('mysql') ? findMysql(started) : NOT_CHOSEN
    ])
    project.provide('chosenDatabases', chosen)
    project.provide('postgres', postgres)
    project.provide('mysql', mysql)
    project.provide('cockroach', findCockroach())
    return stopAll
  } catch (error) {
    await stopAll()
    throw error
  }
}

/** Waits for each before it rejects, so that no server is still starting when those that have started are stopped. */
async function allOrNone(
  work: [Availability | Promise<Availability>, Availability | Promise<Availability>]
): Promise<[Availability, Availability]> {
  await Promise.allSettled(work)
  return Promise.all(work)
}

function chosenDatabases(): string[] | null {
  const names = process.env.TEST_DATABASES?.split(',').map((name) => name.trim())
  if (names === undefined) return null
  const known = ['sqlite', 'postgres', 'pglite', 'mysql', 'cockroach']
  const unknown = names.filter((name) => !known.includes(name))
  if (unknown.length > 0) throw new Error(`TEST_DATABASES may name ${known.join(', ')}; given: ${unknown.join(', ')}`)
  return names
}

async function findPostgres(started: LocalServer[]): Promise<Availability> {
  if (process.env.TEST_PG_URL) return { url: process.env.TEST_PG_URL }
  const sources = process.env.TEST_PG_BINARIES
  if (sources !== undefined && sources !== 'system' && sources !== 'embedded') {
    throw new Error(`TEST_PG_BINARIES may be system or embedded; given: ${sources}`)
  }
  try {
    const server = await startPostgres(sources ? [sources] : undefined)
    started.push(server)
    return { url: server.url }
  } catch (error) {
    return missing('PostgreSQL', error instanceof Error ? error.message : String(error))
  }
}

async function findMysql(started: LocalServer[]): Promise<Availability> {
  const kind = process.env.TEST_MYSQL ?? 'mariadb'
  if (kind !== 'mariadb' && kind !== 'mysql') throw new Error(`TEST_MYSQL may be mariadb or mysql; given: ${kind}`)
  if (kind === 'mysql') {
    try {
      const server = await startMysql()
      started.push(server)
      return { url: server.url }
    } catch (error) {
      return missing('MySQL', error instanceof Error ? error.message : String(error))
    }
  }
  const url = process.env.TEST_MYSQL_URL ?? (await findRunningMysql())
  if (url) return { url }
  const server = await startMariadb()
  if (server) {
    started.push(server)
    return { url: server.url }
  }
  return missing('MariaDB', GET_MYSQL)
}

/** One visible skip; in CI a database that is missing is an error, lest a green run has tested nothing. */
function missing(what: string, reason: string): Availability {
  if (process.env.CI) throw new Error(`no ${what}, which is an error in CI: ${reason}`)
  console.warn(`skipped: the specs on ${what}. There is none here: ${reason}`)
  return { missing: `there is none here: ${reason}` }
}

function findCockroach(): Availability {
  const url = process.env.TEST_COCKROACH_URL
  return url ? { url } : { missing: GET_COCKROACH }
}
