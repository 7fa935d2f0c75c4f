import assert from 'node:assert/strict'
import { smoke } from './site.mjs'

await smoke(['app.mjs'], async ({ visitor }) => {
  const name = `ada ${Date.now()}`
  const ada = visitor()
  assert.equal((await ada.visit('/orders', { item: 'tea' })).status, 401)
  assert.equal((await ada.visit('/sign-in', { name })).text, `Hello ${name}, the session counts 0, the table has: \n`)
  assert.equal((await ada.visit('/orders', { item: 'tea' })).text, `Hello ${name}, the session counts 1, the table has: tea\n`)
  assert.equal((await ada.visit('/orders', { item: 'unicorn' })).status, 409)
  assert.equal((await ada.visit('/')).text, `Hello ${name}, the session counts 1, the table has: tea\n`)
  // At once, through the one connection that Knex opens to SQLite.
  const items = ['milk', 'sugar', 'lemon']
  await Promise.all(items.map((item) => ada.clone().visit('/orders', { item })))
  const { text } = await ada.visit('/')
  assert.ok(
    items.every((item) => text.includes(item)),
    text
  )

  const thief = ada.clone()
  assert.equal((await ada.visit('/log-out', {})).text, 'Nobody is signed in.\n')
  assert.equal((await thief.visit('/')).text, 'Nobody is signed in.\n')
})
