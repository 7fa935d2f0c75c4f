// An application that is bundled together with the package, and has nothing to do with migrations.
import assert from 'node:assert/strict'
import { createSessionsTable, KnexSessionStore, SessionStoreError } from 'knex-session-store'
import { memoryDatabase } from 'knex-session-store/testing'
import * as unitOfWork from 'knex-session-store/unit-of-work'

const { knex } = memoryDatabase()
await createSessionsTable(knex)
const store = new KnexSessionStore({ knex })
await store.set('one', { cookie: { originalMaxAge: 60_000 }, name: 'ada' })
assert.equal((await store.get('one')).name, 'ada')
await store.close()
await knex.destroy()
assert.ok(SessionStoreError.prototype instanceof Error)
assert.ok(Object.keys(unitOfWork).length > 0)
console.log('done')
