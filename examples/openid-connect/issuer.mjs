// An OpenID issuer for trying the recipe on one machine: everybody who comes is signed in as ada, without a password. Not for anything else.
import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto'
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'

const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const key = { ...publicKey.export({ format: 'jwk' }), kid: 'only', alg: 'RS256', use: 'sig' }
/** Who asked for a code: the nonce of the sign-in and the id of the application. */
const codes = new Map()
let issuer

const encoded = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')
function token(type, claims) {
  const iat = Math.floor(Date.now() / 1000)
  const head = encoded({ alg: 'RS256', kid: key.kid, typ: type })
  const signed = `${head}.${encoded({ iss: issuer, sub: 'ada', iat, exp: iat + 3600, jti: randomUUID(), ...claims })}`
  return `${signed}.${sign('sha256', Buffer.from(signed), privateKey).toString('base64url')}`
}

const pages = {
  'GET /.well-known/openid-configuration': () => ({
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/keys`,
    response_types_supported: ['code'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256']
  }),
  'GET /keys': () => ({ keys: [key] }),
  'GET /authorize'(query, _body, response) {
    const code = randomUUID()
    codes.set(code, { nonce: query.get('nonce'), aud: query.get('client_id') })
    const back = new URL(query.get('redirect_uri'))
    back.search = new URLSearchParams({ code, state: query.get('state') })
    response.writeHead(303, { location: back.href })
  },
  'POST /token'(_query, body) {
    const claims = codes.get(body.get('code'))
    codes.delete(body.get('code'))
    const access_token = randomUUID()
    const at_hash = createHash('sha256').update(access_token).digest().subarray(0, 16).toString('base64url')
    return { access_token, token_type: 'Bearer', expires_in: 3600, id_token: token('JWT', { ...claims, at_hash }) }
  },
  // What an issuer does when ada signs out there: it tells each application that she had signed in to.
  async 'POST /back-channel-log-out'(_query, body) {
    const events = { 'http://schemas.openid.net/event/backchannel-logout': {} }
    const logout_token = token('logout+jwt', { aud: body.get('client_id'), events })
    const { status } = await fetch(body.get('uri'), { method: 'POST', body: new URLSearchParams({ logout_token }) })
    return { status }
  }
}

const server = createServer(async (request, response) => {
  const url = new URL(request.url, issuer)
  const page = pages[`${request.method} ${url.pathname}`]
  if (page === undefined) return response.writeHead(404).end()
  const result = await page(url.searchParams, new URLSearchParams(await text(request)), response)
  response.end(result && JSON.stringify(result))
})
server.listen(process.env.PORT ?? 4000, '127.0.0.1', () => {
  issuer = `http://127.0.0.1:${server.address().port}`
  console.log(`Issuer at ${issuer}`)
})
process.once('SIGINT', () => server.close())
