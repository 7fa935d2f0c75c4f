import assert from 'node:assert/strict'
import { smoke } from './site.mjs'

const password = 'lovelace'

await smoke(['app.mjs'], async ({ visitor }) => {
  const phone = visitor()
  const laptop = visitor()
  assert.equal((await phone.visit('/sign-in', { name: 'ada', password: 'wrong' })).status, 401)
  assert.equal((await phone.visit('/')).text, 'Nobody is signed in.\n')

  assert.equal((await phone.visit('/sign-in', { name: 'ada', password })).text, 'Hello ada.\n')
  assert.equal((await laptop.visit('/sign-in', { name: 'ada', password })).text, 'Hello ada.\n')
  const first = laptop.cookie
  await laptop.visit('/sign-in', { name: 'ada', password })
  assert.notEqual(laptop.cookie, first, 'a sign-in gives a new id')

  const thief = laptop.clone()
  assert.equal((await laptop.visit('/log-out', {})).text, 'Nobody is signed in.\n')
  assert.equal((await thief.visit('/')).text, 'Nobody is signed in.\n')
  assert.equal((await phone.visit('/')).text, 'Hello ada.\n')
  await laptop.visit('/sign-in', { name: 'ada', password })
  assert.equal((await laptop.visit('/log-out-everywhere', {})).text, 'Nobody is signed in.\n')
  assert.equal((await phone.visit('/')).text, 'Nobody is signed in.\n')
  assert.equal((await laptop.visit('/sign-in', { name: 'ada', password })).text, 'Hello ada.\n')
  await laptop.visit('/log-out', {})
})
