import { afterEach, beforeEach, expect, it } from 'vitest'
import type { Backend } from './backends.mjs'
import { connectionsKilled, serverDown, serverFrozen, startTogether, statementsPerPage, tableDropped, touchHangs } from './outages.mjs'
import { Site } from './sites.mjs'
import { describeRaces, openBackend } from './stage'
import type { Contender } from './stores.mjs'

const timeoutMs = 2_000
/** The time limit is kept as well as a timer keeps it on a busy machine. */
const answersWithinMs = timeoutMs + 3_000

describeRaces('a site whose database is ill', (database) => {
  let backend: Backend & { readonly contender: Contender }
  beforeEach(async () => {
    backend = await openBackend(database)
  })
  afterEach(() => backend[Symbol.asyncDispose]())

  async function onSite<Result>(work: (site: Site) => Promise<Result>): Promise<Result> {
    await using site = await Site.start({ ...backend.contender, options: { timeoutMs } })
    return await work(site)
  }

  it('goes on when the sessions table is dropped, and serves every request', async ({ skip }) => {
    const { dropTables } = backend
    if (!dropTables) return skip('there are no tables')
    expect(await onSite((site) => tableDropped(site, dropTables))).toMatchObject({ died: false, failed: 0, recovered: true })
  })

  it('goes on when the server ends its connections', async ({ skip }) => {
    const { killConnections } = backend
    if (!killConnections) return skip(`${database.name} has no connections that a server could end`)
    expect(await onSite((site) => connectionsKilled(site, killConnections))).toMatchObject({ died: false, recovered: true })
  })

  it('answers with errors while the server is down, and goes on when it is back', async ({ skip }) => {
    const { line } = backend
    if (!line) return skip(`${database.name} has no server`)
    const outage = await onSite((site) => serverDown(site, line))
    expect(outage).toMatchObject({ died: false, failed: outage.requests, recovered: true })
    expect(outage.slowestMs).toBeLessThan(answersWithinMs)
  })

  it('answers within timeoutMs while the server is frozen, and goes on when it is not', async ({ skip }) => {
    const { line } = backend
    if (!line) return skip(`${database.name} has no server`)
    const outage = await onSite((site) => serverFrozen(site, line))
    expect(outage).toMatchObject({ died: false, recovered: true })
    expect(outage.slowestMs).toBeLessThan(answersWithinMs)
  })

  it('ends a page within timeoutMs whose touch has no answer', async ({ skip }) => {
    const { line } = backend
    if (!line) return skip(`${database.name} has no server`)
    const outage = await onSite((site) => touchHangs(site, line))
    expect(outage).toMatchObject({ died: false, recovered: true })
    expect(outage.slowestMs).toBeLessThan(answersWithinMs)
  })

  it('starts in four processes at once on an empty database', { timeout: 60_000 }, async () => {
    expect(await startTogether(backend.contender, 4)).toEqual({ processes: 4, failed: 0, lastWords: '' })
  })

  it('reads and writes nothing but the session for a page: one statement, and a fraction of one under load', async ({ skip }) => {
    const { counter } = backend
    if (!counter) return skip(`there is no line to ${database.name} to listen to`)
    await onSite(async (site) => {
      expect(await statementsPerPage(site, counter, { pages: 100, atOnce: 1 })).toEqual({ statements: 1, writes: 0 })
      const underLoad = await statementsPerPage(site, counter, { pages: 500, atOnce: 50 })
      expect(underLoad.statements).toBeLessThan(0.5)
      expect(underLoad.writes).toBe(0)
    })
  })
})
