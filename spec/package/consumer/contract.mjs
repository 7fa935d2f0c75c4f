// Everything there is on a database, on the versions that are installed here, without a test runner: node contract.mjs KNEX_CONFIG
import assert from 'node:assert/strict'
import createKnex from 'knex'
import { createSessionsTable, dropSessionsTable, KnexSessionStore, migrationsDirectory } from 'knex-session-store'
import { sessionStoreContract } from 'knex-session-store/testing'
import { unitOfWork } from 'knex-session-store/unit-of-work'

const knex = createKnex(JSON.parse(process.argv[2]))
const session = (data) => ({ cookie: { originalMaxAge: 60_000, maxAge: 60_000 }, ...data })

async function useTheStore(options) {
  const store = new KnexSessionStore({ knex, storedId: 'plain', pruneIntervalMs: false, ...options })
  const ids = Array.from({ length: 100 }, (_, number) => `id-${number}`)
  await Promise.all(ids.map((id) => store.set(id, session({ id, text: '😀 \\ \' " \u0000' }))))
  const found = await Promise.all(ids.map((id) => store.get(id)))
  assert.deepEqual(
    found.map(({ id }) => id),
    ids
  )
  await Promise.all(found.map((each, index) => store.set(ids[index], Object.assign(each, { changed: index }))))
  await Promise.all(found.map((each, index) => store.touch(ids[index], each)))
  await Promise.all(ids.slice(50).map((id) => store.destroy(id)))
  const left = await Promise.all(ids.map((id) => store.get(id)))
  assert.deepEqual(
    left.map((each) => each?.changed),
    ids.map((_, index) => (index < 50 ? index : undefined))
  )
  assert.equal(await store.length(), 50)
  assert.equal((await store.all()).length, 50)
  await knex
    .transaction(async (trx) => {
      await store.withTransaction(trx).set('rolled back', session())
      throw new RangeError('on purpose')
    })
    .catch((error) => assert.ok(error instanceof RangeError))
  assert.equal(await store.get('rolled back'), null)
  await knex.transaction((trx) => store.withTransaction(trx).set('kept', session({ kept: 1 })))
  assert.equal((await store.get('kept')).kept, 1)
  assert.equal((await store.health()).ok, true)
  assert.equal(await store.prune(), 0)
  await store.clear()
  assert.equal(await store.length(), 0)
  await store.close()
}

async function migrate() {
  await knex.migrate.latest({ directory: migrationsDirectory })
  await useTheStore({ createTable: false })
  await knex.migrate.rollback({ directory: migrationsDirectory })
  await createSessionsTable(knex, { version: 1 })
  await dropSessionsTable(knex)
}

async function workInUnits() {
  await knex.schema.createTable('things', (table) => table.integer('id'))
  const work = unitOfWork(knex)
  await assert.rejects(
    work.run(async () => {
      await work.db('things').insert({ id: 1 })
      throw new RangeError('on purpose')
    }),
    RangeError
  )
  await work.run(() => work.db('things').insert({ id: 2 }))
  assert.deepEqual(
    (await knex('things').select('id')).map(({ id }) => id),
    [2]
  )
  await knex.schema.dropTable('things')
}

async function meetTheContract() {
  const specs = []
  const it = Object.assign((title, body) => specs.push({ title, body }), { skip: () => undefined })
  let tables = 0
  sessionStoreContract(() => new KnexSessionStore({ knex, tableName: `sessions_${++tables}`, pruneIntervalMs: false }), {
    describe: (_title, body) => body(),
    it
  })
  const failures = []
  for (const { title, body } of specs) {
    await body({ skip: () => undefined }).catch((error) => failures.push(`${title}: ${error.stack}`))
  }
  assert.deepEqual(failures, [])
  console.log(`${specs.length} specs of the contract`)
}

try {
  await useTheStore({})
  await useTheStore({ batch: false })
  await dropSessionsTable(knex)
  await migrate()
  await workInUnits()
  await meetTheContract()
  console.log('done')
} finally {
  await knex.destroy()
}
