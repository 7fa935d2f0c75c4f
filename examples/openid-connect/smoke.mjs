import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { smoke } from './site.mjs'

// The application has to know its own address before it listens.
const probe = createServer().listen(0, '127.0.0.1')
await once(probe, 'listening')
const PORT = String(probe.address().port)
probe.close()

await smoke(['issuer.mjs'], async (issuer) => {
  const env = { PORT, ISSUER_BASE_URL: issuer.address }
  await smoke(['app.mjs'], (site) => checks(site, issuer.visitor()), env)
})

async function checks({ address, visitor }, issuer) {
  const nobody = 'Nobody is signed in.\n'
  const phone = visitor()
  const laptop = visitor()
  assert.equal((await phone.visit('/')).text, nobody)
  // To the issuer, back to /callback, and then home.
  assert.equal((await phone.visit('/login')).text, 'Hello ada, visit number 1.\n')
  assert.equal((await phone.visit('/')).text, 'Hello ada, visit number 2.\n')

  await laptop.visit('/login')
  const thief = laptop.clone()
  assert.equal((await laptop.visit('/logout')).text, nobody)
  assert.equal((await thief.visit('/')).text, nobody)
  assert.equal((await phone.visit('/')).text, 'Hello ada, visit number 3.\n')

  await laptop.visit('/login')
  assert.equal((await laptop.visit('/log-out-everywhere', {})).text, nobody)
  assert.equal((await phone.visit('/')).text, nobody)

  // Twice: what the first one leaves in the table must end with the next sign-in, and must not be in the way of the second.
  for (let round = 0; round < 2; round++) {
    assert.equal((await phone.visit('/login')).text, 'Hello ada, visit number 1.\n')
    assert.equal((await laptop.visit('/login')).text, 'Hello ada, visit number 1.\n')
    const told = await issuer.visit('/back-channel-log-out', { client_id: 'recipe', uri: `${address}/backchannel-logout` })
    assert.equal(told.text, '{"status":204}')
    assert.equal((await phone.visit('/')).text, nobody)
    assert.equal((await laptop.visit('/')).text, nobody)
  }
}
