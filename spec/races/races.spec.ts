import { hash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkLeaksPerFile } from '../support/leaks'
import { lostUpdates, type RaceResult, type Reviver, resurrections, staleReads } from './races.mjs'
import type { Application } from './sites.mjs'
import { describeRaces, openStage, rounds, type Stage } from './stage'

checkLeaksPerFile()

const clean: RaceResult = { rounds, wrong: 0, failed: 0 }
const slowly = Math.max(30_000, rounds * 1_000)

/** Of each framework the request that writes the most: Fastify writes every session, express-session with `resave` does, too. */
const slowRequests: Record<string, { application: Application; reviver: Reviver }> = {
  'changes the session': { application: 'express', reviver: 'change' },
  'only reads the session': { application: 'express', reviver: 'read' },
  'only reads the session, with resave': { application: 'resaving', reviver: 'read' },
  'changes the session, in Fastify': { application: 'fastify', reviver: 'change' },
  'only reads the session, in Fastify': { application: 'fastify', reviver: 'read' },
  'changes the session, with express-openid-connect': { application: 'openid', reviver: 'change' },
  'only reads the session, with express-openid-connect': { application: 'openid', reviver: 'read' }
}

const ENDED_BY_SQL: Record<string, (storedId: string) => string> = {
  DELETE: (storedId) => `DELETE FROM sessions WHERE id = '${storedId}'`,
  UPDATE: (storedId) => `UPDATE sessions SET expires_at = 0, revision = revision + 1 WHERE id = '${storedId}'`
}

const storedIdOf = (sid: string) => hash('sha256', sid, 'base64url')

describeRaces('requests that race for one session', (database) => {
  let stage: Stage
  beforeAll(async () => {
    stage = await openStage(database)
  })
  afterAll(() => stage[Symbol.asyncDispose]())

  it('all keep what they changed, in one process', { timeout: slowly }, async () => {
    expect(await lostUpdates([stage.sites[0]], { rounds })).toEqual(clean)
  })

  it('all keep what they changed, in two processes', { timeout: slowly }, async () => {
    expect(await lostUpdates(stage.sites, { rounds })).toEqual(clean)
  })

  it('all keep what they changed with resave', { timeout: slowly }, async () => {
    expect(await lostUpdates(stage.sites, { rounds, application: 'resaving' })).toEqual(clean)
  })

  it.each(['fastify', 'openid'] as const)(
    'all keep what they changed, by a client that sets copies: %s',
    { timeout: slowly },
    async (application) => {
      expect(await lostUpdates([stage.sites[0]], { rounds, application })).toEqual(clean)
      expect(await lostUpdates(stage.sites, { rounds, application })).toEqual(clean)
    }
  )

  for (const [does, { application, reviver }] of Object.entries(slowRequests)) {
    describe(`when a slow request ${does}`, () => {
      it('leave the visitor logged out who logged out meanwhile, in the same process', { timeout: slowly }, async () => {
        expect(await resurrections([stage.sites[0]], { rounds, application, reviver, killer: 'logout' })).toEqual(clean)
      })

      it('leave the visitor logged out who logged out meanwhile, in another process', { timeout: slowly }, async () => {
        expect(await resurrections(stage.sites, { rounds, application, reviver, killer: 'logout' })).toEqual(clean)
      })

      it.each(Object.entries(ENDED_BY_SQL))(
        'leave the session ended that the application ended by SQL: %s',
        { timeout: slowly },
        async (_how, sql) => {
          const killer = (sid: string) => stage.backend.execute?.(sql(storedIdOf(sid))) ?? Promise.reject(new Error('no SQL'))
          expect(await resurrections(stage.sites, { rounds, application, reviver, killer })).toEqual(clean)
        }
      )

      // Its sessions live as long as the middleware says, which the page cannot shorten.
      if (application === 'openid') return
      it('leave the session expired that expired meanwhile', { timeout: slowly }, async () => {
        expect(await resurrections(stage.sites, { rounds, application, reviver, killer: 'expiry' })).toEqual(clean)
      })
    })
  }

  it('find the login before the redirect, with writes that take long', { timeout: slowly }, async () => {
    // Where the database cannot be slowed, as SQLite cannot, it answers before anything else happens in the process.
    await stage.backend.slowWrites?.(150)
    expect(await staleReads([stage.sites[0]], { rounds, atOnce: 5 })).toEqual(clean)
  })
})
