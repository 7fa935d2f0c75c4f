// What stands before and after every route of the page: headers, the check of the origin, and errors as people read them.
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

export function secureHeaders(_req, res, next) {
  res.set({
    'Content-Security-Policy': POLICY,
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'same-origin',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cache-Control': 'no-cache'
  })
  next()
}

/**
 * Refuses requests of other sites, in addition to the cookies' `sameSite`: a form of another site has its own origin, and a name that was made to
 * lead to 127.0.0.1 is in the header Host.
 */
export function ownOriginOnly(req, res, next) {
  const { host, origin } = req.headers
  const isOwnHost = /^(127\.0\.0\.1|localhost)(:\d+)?$/.test(host ?? '')
  const isOwnOrigin = req.method === 'GET' || req.method === 'HEAD' || origin === `http://${host}`
  if (isOwnHost && isOwnOrigin) return next()
  res
    .status(403)
    .json({ message: 'This request came from another site, so the demo refused it. Use the page at the address in the terminal.' })
}

export function notFound(_req, res) {
  res.status(404).json({ message: 'There is nothing at this address. The demo is one page, at /.' })
}

/** An error that is meant for the person at the page. */
export class Refusal extends Error {
  constructor(status, message) {
    super(message)
    this.status = status
  }
}

export function respondToErrors(error, _req, res, next) {
  if (!(error instanceof Refusal)) console.error(`${error.name}: ${error.message}`)
  // The response has begun: all that is left is to cut it.
  if (res.headersSent) return next(error)
  res.status(error.status ?? 500).json({ message: messageFor(error) })
}

function messageFor(error) {
  if (error instanceof Refusal) return error.message
  // The store's own errors say what is wrong and what to do, and show nothing of a session.
  if (String(error.code).startsWith('ERR_SESSION_')) return `The sessions' database did not do it: ${error.message}`
  if (error.status < 500) return 'The demo did not understand this request. Load the page again.'
  return 'Something went wrong that the demo did not expect. The terminal in which it runs says what.'
}
