import { createHash } from 'node:crypto'

/** How long the sessions of the bench live. */
export const lifetimeMs = 86_400_000

/** The named sizes of a session, in bytes of its JSON text. */
export const payloads = { '200B': 200, '1KB': 1024, '2KB': 2048, '20KB': 20_480 }

/** 32 characters like those of express-session; md5, because PostgreSQL and MariaDB can make the same ones for a million rows. */
export function sessionId(index) {
  return createHash('md5').update(`session-${index}`).digest('hex')
}

/** What a store that hashes its ids keeps for a session id. */
export function hashedId(id) {
  return createHash('sha256').update(id).digest('base64url')
}

/**
 * A signed-in visitor's session of exactly `bytes` bytes of JSON: cookie, user, CSRF secret, then a cart and a trail of visited pages
 * until it is large enough. The same text on every machine.
 */
export function makeSession(bytes, seed = 1) {
  const random = seededRandom(seed)
  const session = {
    cookie: { originalMaxAge: lifetimeMs, expires: new Date(Date.now() + lifetimeMs), httpOnly: true, path: '/' },
    user: 1000 + Math.floor(random() * 9000),
    views: 100_000,
    pad: ''
  }
  const parts = [() => addSignIn(session, random), () => addCart(session, random), () => addTrail(session, random)]
  for (let turn = 0; ; turn++) {
    const before = structuredClone(session)
    parts[turn === 0 ? 0 : 1 + (turn % 2)]()
    if (size(session) > bytes) return padded(before, bytes, random)
  }
}

function addSignIn(session, random) {
  session.passport = { user: `${hex(random, 8)}-${hex(random, 4)}-4${hex(random, 3)}-a${hex(random, 3)}-${hex(random, 12)}` }
  session.csrfSecret = hex(random, 24)
  session.locale = 'en-GB'
  session.flash = { notice: ['Welcome back. You have 3 unread messages.'] }
}

function addCart(session, random) {
  session.cart ??= []
  const names = ['Walnut writing desk', 'Linen curtain, grey', 'Cast-iron pan 28 cm', 'Reading lamp “Osló”', 'Wool blanket']
  session.cart.push({
    sku: `SKU-${Math.floor(random() * 1e6)}`,
    title: names[Math.floor(random() * names.length)],
    quantity: 1 + Math.floor(random() * 4),
    price: Math.floor(random() * 30_000) / 100,
    gift: random() < 0.2
  })
}

function addTrail(session, random) {
  session.trail ??= []
  const sections = ['/kitchen', '/living-room', '/offers/autumn', '/account/orders', '/search?q=lamp']
  const path = sections[Math.floor(random() * sections.length)]
  session.trail.push({ path, at: 1_760_000_000_000 + Math.floor(random() * 1e9), ref: hex(random, 8) })
}

function padded(session, bytes, random) {
  session.pad = hex(random, Math.max(0, bytes - size(session)))
  return session
}

function size(session) {
  return Buffer.byteLength(JSON.stringify(session))
}

function hex(random, length) {
  let text = ''
  while (text.length < length) text += Math.floor(random() * 16).toString(16)
  return text
}

/** A small generator with a seed (mulberry32), so that each run and each machine measures the same sessions and order. */
export function seededRandom(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
