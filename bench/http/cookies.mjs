import { createHmac } from 'node:crypto'
import { sessionId } from '../session.mjs'

export const secret = 'not a secret: a bench'

/** The signed cookies of the first `count` sessions, as express-session sets them. */
export function sessionCookies(count) {
  return Array.from({ length: count }, (_, index) => {
    const id = sessionId(index)
    const signature = createHmac('sha256', secret).update(id).digest('base64').replace(/=+$/, '')
    return `connect.sid=${encodeURIComponent(`s:${id}.${signature}`)}`
  })
}
