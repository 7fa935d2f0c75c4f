import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { Audit, AuditResult } from './audit.worker.mts'
import { describeDatabases } from './support/databases'
import { runProcess } from './support/processes'

/** What the worker is sure to meet; errors that do not come about prove nothing. */
const CODES = [
  'ERR_SESSION_CONFLICT',
  'ERR_SESSION_DATABASE',
  'ERR_SESSION_FOREIGN_TABLE',
  'ERR_SESSION_INVALID_ID',
  'ERR_SESSION_INVALID_OPTION',
  'ERR_SESSION_STORE_CLOSED',
  'ERR_SESSION_TABLE_MISSING',
  'ERR_SESSION_TIMEOUT',
  'ERR_SESSION_TOO_LARGE',
  'ERR_SESSION_UNREADABLE',
  'ERR_SESSION_UNSERIALIZABLE'
]

/**
 * In a process of its own, because what it prints counts too: the debug lines of `NODE_DEBUG=knex-session-store`, and whatever Knex warns of.
 * Knex's `query` events and `DEBUG=knex:*` carry bindings: they are the application's own to ask for.
 */
describeDatabases('whatever is done with a session, and whatever fails', (database) => {
  it('no error, event, trace, debug line or warning shows its id, its data or a key', { timeout: 120_000 }, async () => {
    await using opened = await database.open()
    const marker = `marker-${randomBytes(8).toString('hex')}`
    const result = await runProcess<Audit, AuditResult>(
      join(__dirname, 'audit.worker.mts'),
      { config: opened.config, marker },
      { env: { NODE_DEBUG: 'knex-session-store' }, timeoutMs: 110_000 }
    )
    expect(result.error).toBeUndefined()
    const { seen = [], codes = [] } = result.output ?? {}
    expect(codes).toEqual(expect.arrayContaining(CODES))
    expect(codes).not.toContain('without a code')
    expect(result.stderr).toMatch(/KNEX-SESSION-STORE \d+: created the sessions table/)
    expect(seen.length).toBeGreaterThan(500)
    const shown = [...seen, ...result.stdout.split('\n'), ...result.stderr.split('\n')].filter((text) => text.includes(marker))
    expect([...new Set(shown)]).toEqual([])
  })
})
