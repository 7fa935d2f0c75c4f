// The two races, by real requests to a shop. Each round is another visitor. Resolves with how many rounds went well, of how many.
import { randomUUID } from 'node:crypto'
import { Visitor } from './visitor.mjs'

export const RACES = { change: twoChanges, 'sign-out': signOutDuringASlowRequest }

const AT_ONCE = 10

export async function race(shop, name, rounds) {
  let next = 0
  let good = 0
  const runner = async () => {
    while (next++ < rounds) if (await RACES[name](shop)) good++
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, rounds) }, runner))
  return { rounds, good }
}

/** Two requests of one visitor have both loaded the session before either saves it. Good: both changes are there afterwards. */
async function twoChanges(shop) {
  const visitor = await new Visitor(shop.address).signIn()
  const [first, second] = [randomUUID(), randomUUID()]
  const changes = [
    visitor.tab().send('POST', `/change?key=cart&gate=${first}`),
    visitor.tab().send('POST', `/change?key=language&gate=${second}`)
  ]
  await arrivals(shop, [first, second], changes)
  shop.gates.open(first)
  shop.gates.open(second)
  await Promise.all(changes)
  const { body } = await visitor.send('GET', '/page')
  return body.keys?.includes('cart') && body.keys.includes('language')
}

/** A slow request has loaded the session. The visitor signs out, then the slow request ends. Good: the visitor stays signed out. */
async function signOutDuringASlowRequest(shop) {
  const visitor = await new Visitor(shop.address).signIn()
  const gate = randomUUID()
  const slow = visitor.tab().send('POST', `/change?key=cart&gate=${gate}`)
  await arrivals(shop, [gate], [slow])
  await visitor.tab().send('POST', '/sign-out')
  shop.gates.open(gate)
  await slow
  const { body } = await visitor.send('GET', '/page')
  return body.user === null
}

/** Resolves when all stand at their gates. Rejects if one ended before: it would be waited for without end. */
async function arrivals(shop, gates, requests) {
  const ended = requests.map(async (request) => {
    const { body } = await request
    throw new Error(`a request of the race failed: ${body.message ?? 'no response'}`)
  })
  for (const promise of ended) promise.catch(() => undefined)
  await Promise.race([Promise.all(gates.map((gate) => shop.gates.arrived(gate))), ...ended])
}
