import assert from 'node:assert/strict'
import { once } from 'node:events'
import { io } from 'socket.io-client'
import { smoke } from './site.mjs'

await smoke(['app.mjs'], async ({ address, visitor }) => {
  const connect = (visitor) => io(address, { extraHeaders: { cookie: visitor.cookie }, forceNew: true, reconnection: false })
  const phone = visitor()
  const laptop = visitor()

  const [refused] = await once(connect(phone), 'connect_error')
  assert.equal(refused.message, 'Nobody is signed in.')

  await phone.visit('/sign-in', { name: 'ada' })
  await laptop.visit('/sign-in', { name: 'ada' })
  const onPhone = connect(phone)
  const onLaptop = connect(laptop)
  await Promise.all([once(onPhone, 'connect'), once(onLaptop, 'connect')])
  assert.deepEqual(await onPhone.timeout(10_000).emitWithAck('whoami'), { name: 'ada', visits: 1 })
  await phone.visit('/')
  assert.deepEqual(await onPhone.timeout(10_000).emitWithAck('whoami'), { name: 'ada', visits: 2 }, 'an event sees the newest session')

  const laptopLeft = once(onLaptop, 'disconnect')
  await laptop.visit('/log-out', {})
  assert.deepEqual((await laptopLeft)[0], 'io server disconnect')
  assert.deepEqual(await onPhone.timeout(10_000).emitWithAck('whoami'), { name: 'ada', visits: 2 }, 'the other socket stays')

  await laptop.visit('/sign-in', { name: 'ada' })
  const phoneLeft = once(onPhone, 'disconnect')
  await laptop.visit('/log-out-everywhere', {})
  assert.deepEqual((await phoneLeft)[0], 'io server disconnect')
  assert.equal((await once(connect(phone), 'connect_error'))[0].message, 'Nobody is signed in.')
})
