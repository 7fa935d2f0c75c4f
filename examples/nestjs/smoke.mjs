import assert from 'node:assert/strict'
import { execSync } from 'node:child_process'
import { smoke } from './site.mjs'

execSync('npx tsc', { stdio: 'inherit' })

await smoke(['build/main.js'], async ({ visitor }) => {
  const nobody = 'Nobody is signed in.\n'
  const phone = visitor()
  const laptop = visitor()
  assert.equal((await phone.visit('/')).text, nobody)
  assert.equal((await phone.visit('/sign-in', { name: '' })).status, 400)
  assert.equal((await phone.visit('/sign-in', { name: 'ada' })).text, 'Hello ada, visit number 1.\n')
  await laptop.visit('/sign-in', { name: 'ada' })
  const first = laptop.cookie
  await laptop.visit('/sign-in', { name: 'ada' })
  assert.notEqual(laptop.cookie, first, 'a sign-in gives a new id')

  const thief = laptop.clone()
  assert.equal((await laptop.visit('/log-out', {})).text, nobody)
  assert.equal((await thief.visit('/')).text, nobody)
  assert.equal((await phone.visit('/')).text, 'Hello ada, visit number 2.\n')
  await laptop.visit('/sign-in', { name: 'ada' })
  assert.equal((await laptop.visit('/log-out-everywhere', {})).text, nobody)
  assert.equal((await phone.visit('/')).text, nobody)
})
