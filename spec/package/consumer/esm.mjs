import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { createSessionsTable, dropSessionsTable, KnexSessionStore, migrationsDirectory } from 'knex-session-store'
import * as testing from 'knex-session-store/testing'
import * as unitOfWork from 'knex-session-store/unit-of-work'

const require = createRequire(import.meta.url)
assert.equal(require('knex-session-store').KnexSessionStore, KnexSessionStore)
assert.equal(typeof testing.sessionStoreContract, 'function')
assert.ok(unitOfWork)
assert.ok(migrationsDirectory)

const { knex } = testing.memoryDatabase()
await createSessionsTable(knex)
const store = new KnexSessionStore({ knex, createTable: false })
await store.set('one', { cookie: { originalMaxAge: 60_000 }, name: 'grace' })
assert.equal((await store.get('one')).name, 'grace')
await store.close()
await dropSessionsTable(knex)
await knex.destroy()
console.log('done')
