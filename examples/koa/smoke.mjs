import assert from 'node:assert/strict'
import { smoke } from './site.mjs'

await smoke(['app.mjs'], async ({ visitor }) => {
  const phone = visitor()
  const laptop = visitor()
  assert.equal((await phone.visit('/')).text, 'Nobody is signed in, 0 in the basket.\n')
  assert.equal(phone.cookie, '', 'a visitor who has put nothing into the session has none')

  assert.equal((await phone.visit('/basket', { item: 'tea' })).text, 'Nobody is signed in, 1 in the basket.\n')
  const before = phone.cookie
  assert.equal((await phone.visit('/sign-in', { name: 'ada' })).text, 'Hello ada, 1 in the basket.\n')
  assert.notEqual(phone.cookie, before, 'a sign-in gives a new id')
  assert.equal((await phone.visit('/basket', { item: 'milk' })).text, 'Hello ada, 2 in the basket.\n')

  await laptop.visit('/sign-in', { name: 'ada' })
  const thief = laptop.clone()
  assert.equal((await laptop.visit('/log-out', {})).text, 'Nobody is signed in, 0 in the basket.\n')
  assert.equal((await thief.visit('/')).text, 'Nobody is signed in, 0 in the basket.\n')
  assert.equal((await phone.visit('/')).text, 'Hello ada, 2 in the basket.\n')
  await laptop.visit('/sign-in', { name: 'ada' })
  assert.equal((await laptop.visit('/log-out-everywhere', {})).text, 'Nobody is signed in, 0 in the basket.\n')
  assert.equal((await phone.visit('/')).text, 'Nobody is signed in, 0 in the basket.\n')
  assert.equal((await laptop.visit('/sign-in', { name: 'ada' })).text, 'Hello ada, 0 in the basket.\n')
  await laptop.visit('/log-out', {})
})
