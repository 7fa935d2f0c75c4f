import assert from 'node:assert/strict'
import { smoke } from './site.mjs'

await smoke(['app.mjs'], async ({ visitor }) => {
  const phone = visitor()
  const laptop = visitor()
  assert.equal((await phone.visit('/broken')).status, 500)
  assert.equal((await phone.visit('/')).text, 'Nobody is signed in.\n')

  assert.equal((await phone.visit('/sign-in', { name: 'ada' })).text, 'Hello ada, visit number 1.\n')
  await laptop.visit('/sign-in', { name: 'ada' })
  const first = laptop.cookie
  await laptop.visit('/sign-in', { name: 'ada' })
  assert.notEqual(laptop.cookie, first, 'a sign-in gives a new id')
  assert.equal(JSON.parse((await phone.visit('/devices')).text).length, 2)

  const thief = laptop.clone()
  assert.equal((await laptop.visit('/log-out', {})).text, 'Nobody is signed in.\n')
  assert.equal((await thief.visit('/')).text, 'Nobody is signed in.\n')
  assert.equal((await phone.visit('/')).text, 'Hello ada, visit number 2.\n')
  await laptop.visit('/sign-in', { name: 'ada' })
  assert.equal((await laptop.visit('/log-out-everywhere', {})).text, 'Nobody is signed in.\n')
  assert.equal((await phone.visit('/')).text, 'Nobody is signed in.\n')
  assert.equal((await laptop.visit('/sign-in', { name: 'ada' })).text, 'Hello ada, visit number 1.\n')
  await laptop.visit('/log-out', {})
})
