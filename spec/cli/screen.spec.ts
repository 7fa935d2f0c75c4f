import { describe, expect, it } from 'vitest'
import { Screen } from '../../lib/cli/screen'

function open(isJson = false) {
  const printed: string[] = []
  const output = { write: (text: string) => printed.push(text) }
  const screen = new Screen(output, output, isJson)
  return { screen, text: () => printed.join('') }
}

/** What an error prints. */
function shown(message: string, ...secrets: unknown[]): string {
  const { screen, text } = open()
  for (const secret of secrets) screen.learnSecrets(secret)
  screen.error(message, 'ERR_SESSION_USAGE')
  return text().replace(/^knex-session-store: |\n$/g, '')
}

describe('the screen', () => {
  it('shows control characters and other characters without a shape as their numbers', () => {
    expect(shown('\u001b[31mred\u0007 \u009b2J \u202eevil\u200b a\nb\tc \udb40\udc01 \ud800')).toBe(
      '\\u001b[31mred\\u0007 \\u009b2J \\u202eevil\\u200b a\\u000ab\\u0009c \\udb40\\udc01 \\ud800'
    )
    expect(shown('Grüße, 日本語 🙂 é')).toBe('Grüße, 日本語 🙂 é')
    const { screen, text } = open()
    screen.result({}, 'one\u001b[2J', 'two\rthree')
    expect(text()).toBe('one\\u001b[2J\ntwo\\u000dthree\n')
  })

  it('prints JSON that means what it was given, without such a character in it', () => {
    const { screen, text } = open(true)
    const given = { name: 'a\u009b2J\u202e\u007f\u001b\udb40\udc01' }
    screen.result(given)
    expect(text()).toMatch(/^[\u0020-\u007e]*\n$/)
    expect(JSON.parse(text())).toEqual(given)
  })

  it.each([
    ['postgres://app:my@pa/ss@host/app is wrong', 'postgres://…@host/app is wrong'],
    ['postgres://app:my pa ss@host/app', 'postgres://…@host/app'],
    ['redis://:pa:ss#?@host', 'redis://…@host'],
    ['postgres://host/app?user=a&password=se%26cret&ssl=true', 'postgres://host/app?user=a&password=…&ssl=true'],
    ['host=db PASSWORD = secret dbname=app', 'host=db PASSWORD = … dbname=app'],
    ["{ host: 'db', password: 'it is secret', port: 1 }", "{ host: 'db', password: …, port: 1 }"],
    ['{"sslpassword":"se\\"cret","port":1}', '{"sslpassword":…,"port":1}'],
    ['DB_PASSWD=secret', 'DB_PASSWD=…'],
    ['https://h/?api_key=secret&x=1', 'https://h/?api_key=…&x=1'],
    ['password%3Dsecret', 'password%3D…']
  ])('hides what may be a password: %s', (message, expected) => {
    expect(shown(message)).toBe(expected)
    const { screen, text } = open(true)
    screen.error(message, 'X')
    expect(JSON.parse(text()).error.message).toBe(expected)
  })

  it.each([
    '--url must be a URL that begins with postgres://, postgresql://, mysql://, mariadb:// or cockroachdb://; characters like @ / # in a password are written as %40 %2F %23',
    'cannot find /app/node_modules/@prisma/client, imported from file:///app/node_modules/@scope/index.js',
    'unknown option "secret": it is an option of session(); to encrypt sessions, give codec: encrypted({ keys: [key] })',
    'password authentication failed for user "app"'
  ])('leaves what is no password: %s', (message) => {
    expect(shown(message)).toBe(message)
  })

  it('hides the passwords of the connection wherever they are quoted, as they are, in a URL and in JSON', () => {
    const connection = { host: 'db', user: 'app', password: 'x"y z@1', ssl: { key: 'the private key', passphrase: 'phrase 2' } }
    expect(shown('x"y z@1, x%22y%20z%401, x\\"y z@1, the private key, phrase 2, db, app', connection)).toBe('…, …, …, …, …, db, app')
    expect(shown('no pa/ss@wo and pa%2Fss%40wo', 'postgres://app:pa/ss@wo@host/db')).toBe('no … and …')
    expect(shown('no pa/ss', 'mysql://app:pa%2Fss@host/db')).toBe('no …')
    expect(shown('no s3cret', { connectionString: 'postgres://app:s3cret@host/db' })).toBe('no …')
    expect(shown('no s3cret', 'postgres://host/db?password=s3cret')).toBe('no …')
  })

  it('does not tear words apart for a password that is a part of them', () => {
    expect(shown('failed on postgresql for user "other", postgres.', { password: 'postgres' })).toBe(
      'failed on postgresql for user "other", ….'
    )
    expect(shown('a b', { password: '' })).toBe('a b')
  })
})
