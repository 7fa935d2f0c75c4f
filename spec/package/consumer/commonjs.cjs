const assert = require('node:assert/strict')
const { KnexSessionStore, SessionStoreError } = require('knex-session-store')
const { memoryDatabase } = require('knex-session-store/testing')
require('knex-session-store/unit-of-work')

async function main() {
  // One copy in memory, however it is imported: instanceof holds between them.
  const imported = await import('knex-session-store')
  assert.equal(imported.KnexSessionStore, KnexSessionStore)
  assert.equal(imported.SessionStoreError, SessionStoreError)
  assert.match(require('knex-session-store/package.json').version, /^\d/)
  assert.throws(() => require('knex-session-store/dist/store.js'), { code: 'ERR_PACKAGE_PATH_NOT_EXPORTED' })

  const { knex } = memoryDatabase()
  const store = new KnexSessionStore({ knex })
  await store.set('one', { cookie: { originalMaxAge: 60_000 }, name: 'ada' })
  const session = await new Promise((resolve, reject) => store.get('one', (error, found) => (error ? reject(error) : resolve(found))))
  assert.equal(session.name, 'ada')
  assert.equal(await store.length(), 1)
  await store.destroy('one')
  assert.equal(await store.get('one'), null)
  await store.close()
  await knex.destroy()
  console.log('done')
}

main()
