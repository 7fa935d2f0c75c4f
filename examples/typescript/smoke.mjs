import assert from 'node:assert/strict'
import { execSync } from 'node:child_process'
import { smoke } from './site.mjs'

execSync('npx tsc --noEmit', { stdio: 'inherit' })
execSync('npx tsc', { stdio: 'inherit' })

await smoke(['build/app.js'], async ({ visitor }) => {
  const phone = visitor()
  const laptop = visitor()
  assert.equal((await phone.visit('/')).text, 'Nobody is signed in.\n')
  assert.equal((await phone.visit('/sign-in', { name: 'ada' })).text, 'Hello ada, visit number 1.\n')
  const first = phone.cookie
  assert.equal((await phone.visit('/sign-in', { name: 'ada' })).text, 'Hello ada, visit number 1.\n')
  assert.notEqual(phone.cookie, first, 'a sign-in gives a new id')
  await laptop.visit('/sign-in', { name: 'ada' })

  const devices = JSON.parse((await laptop.visit('/devices')).text)
  assert.equal(devices.length, 2)
  assert.equal(devices.filter(({ isCurrent }) => isCurrent).length, 1)
  assert.equal((await laptop.visit('/log-out-everywhere', {})).text, 'Nobody is signed in.\n')
  assert.equal((await phone.visit('/')).text, 'Nobody is signed in.\n')
})
