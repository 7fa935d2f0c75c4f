import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { smoke } from './site.mjs'

const env = { NODE_ENV: 'production', NEXT_TELEMETRY_DISABLED: '1' }
execFileSync(process.execPath, ['node_modules/next/dist/bin/next', 'build'], { env: { ...process.env, ...env }, stdio: 'inherit' })

await smoke(
  ['server.mjs'],
  async ({ visitor }) => {
    const phone = visitor()
    const laptop = visitor()
    const nobody = /Nobody is signed in/
    assert.match((await phone.visit('/')).text, nobody)
    assert.match((await phone.visit('/sign-in', { name: 'ada' })).text, /Hello ada, visit number 1\./)
    assert.match((await phone.visit('/')).text, /Hello ada, visit number 2\./)
    assert.equal((await phone.visit('/api/visits')).text, '{"visits":2}')
    await laptop.visit('/sign-in', { name: 'ada' })
    const first = laptop.cookie
    await laptop.visit('/sign-in', { name: 'ada' })
    assert.notEqual(laptop.cookie, first, 'a sign-in gives a new id')

    const thief = laptop.clone()
    assert.match((await laptop.visit('/log-out', {})).text, nobody)
    assert.match((await thief.visit('/')).text, nobody)
    await laptop.visit('/sign-in', { name: 'ada' })
    assert.match((await laptop.visit('/log-out-everywhere', {})).text, nobody)
    assert.match((await phone.visit('/')).text, nobody)
  },
  env
)
