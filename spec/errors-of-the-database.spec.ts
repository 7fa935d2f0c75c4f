import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SessionData } from 'express-session'
import createKnex, { type Knex } from 'knex'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { KnexSessionStore, type KnexSessionStoreOptions, type SessionStoreError } from '../lib'
import { detectDialect } from '../lib/dialects/drivers'
import { wrapDriverError } from '../lib/dialects/wrap-driver-error'
import { databaseNamed } from './support/databases'
import { addressOf } from './support/errors-of-the-database'
import type { LocalServer } from './support/local-server'
import { isMariadb } from './support/mysql-kind'
import { PATIENT } from './support/patience'
import { startPostgres } from './support/postgres-server'

/** What no message may hold. */
const PASSWORD = 'open-sesame'
const SESSION_ID = 'id-of-the-session'
const PAYLOAD = 'what-the-session-holds'

const session = (): SessionData => ({ cookie: { originalMaxAge: null }, note: PAYLOAD }) as unknown as SessionData

/** The error of a `set` on a Knex of this configuration, with what every one of them has to keep to itself checked. */
async function errorOf(config: Knex.Config, options: Partial<KnexSessionStoreOptions> = {}): Promise<SessionStoreError> {
  const knex = createKnex({ log: silent, pool: { min: 0, max: 2, createTimeoutMillis: 1000 }, useNullAsDefault: true, ...config })
  onTestFinished(() => knex.destroy())
  return errorOn(knex, options)
}

async function errorOn(knex: Knex, options: Partial<KnexSessionStoreOptions> = {}): Promise<SessionStoreError> {
  const store = new KnexSessionStore({ knex, pruneIntervalMs: false, timeoutMs: 4000, ...options })
  try {
    const error = await store.set(SESSION_ID, session()).then(
      () => expect.fail('the session was stored'),
      (reason: SessionStoreError) => reason
    )
    const shown = `${error.message}\n${error.stack}\n${JSON.stringify(error)}\n${JSON.stringify(error.cause)}`
    for (const secret of [PASSWORD, SESSION_ID, PAYLOAD]) expect(shown).not.toContain(secret)
    return error
  } finally {
    await store.close()
  }
}

const silent = { warn: () => undefined, error: () => undefined, debug: () => undefined, deprecate: () => undefined }

describe('PostgreSQL tells why it lets nobody in:', () => {
  let server: LocalServer
  let admin: Knex
  let folder: string
  const connection = (more: object = {}) => ({ ...addressOf(server.url), user: 'ada', password: PASSWORD, database: 'postgres', ...more })
  const errorWith = (more: object) => errorOf({ client: 'pg', connection: connection(more) })

  beforeAll(async () => {
    server = await startPostgres()
    admin = createKnex({ client: 'pg', connection: server.url, pool: { min: 0, max: 1 } })
    await admin.raw(`CREATE ROLE ada LOGIN PASSWORD '${PASSWORD}'`)
    await admin.raw('CREATE ROLE crowd LOGIN CONNECTION LIMIT 0')
    const { rows } = await admin.raw('SHOW data_directory')
    folder = rows[0].data_directory
    // The driver leaves the connections on which it gave up to the server.
    await admin.raw("ALTER SYSTEM SET authentication_timeout = '5s'")
    await admitBy(['host all postgres 127.0.0.1/32 trust', 'host all crowd 127.0.0.1/32 trust', 'host all ada 127.0.0.1/32 scram-sha-256'])
  }, 60_000)
  afterAll(async () => {
    await admin?.destroy()
    await server?.stop()
  })

  async function admitBy(lines: readonly string[]): Promise<void> {
    const union = lines.map((line) => `SELECT '${line}'`).join(' UNION ALL ')
    await admin.raw(`COPY (${union}) TO '${folder}/pg_hba.conf'`)
    await admin.raw('SELECT pg_reload_conf()')
    // The server reads the file when it gets to it.
    await vi.waitFor(async () => {
      const { rows } = await admin.raw(
        "SELECT count(*)::int AS count, pg_conf_load_time() > now() - interval '1 minute' AS loaded FROM pg_hba_file_rules"
      )
      expect(rows).toEqual([{ count: lines.length, loaded: true }])
    }, PATIENT)
  }

  it('a wrong password', async () => {
    const error = await errorWith({ password: 'wrong' })
    expect(error).toMatchObject({ code: 'ERR_SESSION_DATABASE', driverCode: '28P01' })
    expect(error.message).toBe(
      'session table check failed on postgresql: the connection could not be made: the password is wrong, or there is no such user; correct user and password in the connection of the Knex configuration, or set the password on the server: ALTER ROLE … PASSWORD …. The driver says: password authentication failed for user "ada" (driver code 28P01)'
    )
  })

  it('no password', async () => {
    for (const password of [undefined, '']) {
      const { message } = await errorWith({ password })
      expect(message).toMatch(/asks for a password and none is given; set password in the connection.*The driver says: SASL/)
    }
  })

  it('a role that pg_hba.conf does not know', async () => {
    const error = await errorWith({ user: 'nobody_knows' })
    expect(error).toMatchObject({ code: 'ERR_SESSION_DATABASE', driverCode: '28000' })
    expect(error.message).toMatch(/does not let this user in.*Correct user, database and ssl.*The driver says: no pg_hba.conf entry for/)
  })

  it('a password in the place of the user, without showing it', async () => {
    const { message } = await errorWith({ user: PASSWORD })
    expect(message).toMatch(/The driver says: no pg_hba\.conf entry for host "127\.0\.0\.1", user "…", database/)
  })

  it('a database that does not exist', async () => {
    const error = await errorWith({ user: 'postgres', database: 'not_there' })
    expect(error).toMatchObject({ code: 'ERR_SESSION_DATABASE_UNREACHABLE', driverCode: '3D000' })
    expect(error.message).toMatch(/the database does not exist.*CREATE DATABASE.*The driver says: database "not_there" does not exist/)
  })

  it('too many connections', async () => {
    const error = await errorWith({ user: 'crowd' })
    expect(error).toMatchObject({ code: 'ERR_SESSION_DATABASE_UNREACHABLE', driverCode: '53300' })
    expect(error.message).toMatch(/has reached its limit of connections; give each process a smaller pool \(pool.max/)
  })

  it('no SSL, and SSL that nobody vouches for, and SSL required', async () => {
    expect((await errorWith({ ssl: true })).message).toMatch(
      /does not support SSL; remove ssl from the connection.*The driver says: The server does/
    )
    await admin.raw(
      `COPY (SELECT '') TO PROGRAM 'cd ${folder} && openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=spec -keyout server.key -out server.crt 2>/dev/null && chmod 600 server.key'`
    )
    await admin.raw("ALTER SYSTEM SET ssl = 'on'")
    await admitBy(['host all postgres 127.0.0.1/32 trust', 'hostssl all ada 127.0.0.1/32 scram-sha-256'])
    const untrusted = await errorWith({ ssl: true })
    expect(untrusted).toMatchObject({ driverCode: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
    expect(untrusted.message).toMatch(
      /not signed by an authority that Node trusts; give its CA.*ssl: \{ ca: .*The driver says: self-signed certificate/
    )
    const required = await errorWith({})
    expect(required.message).toMatch(/the server may require SSL: set ssl.*The driver says: no pg_hba.conf entry.*no encryption/)
  })
})

const mysql = databaseNamed('mysql')
const postgres = databaseNamed('postgres')
const mysqlAvailable = mysql.available ? describe : describe.skip
mysqlAvailable(`MariaDB tells why it lets nobody in${mysql.available ? '' : ` (skipped: ${mysql.skipReason})`}:`, () => {
  let admin: Knex
  let address: ReturnType<typeof addressOf>
  const user = `says_${process.pid}`
  const errorWith = (more: object) => errorOf({ client: 'mysql2', connection: { ...address, user, password: PASSWORD, ...more } })

  beforeAll(async () => {
    const opened = await mysql.open()
    admin = opened.knex
    address = addressOf(opened.url)
    for (const host of ['localhost', '127.0.0.1']) await admin.raw(`CREATE USER ??@? IDENTIFIED BY '${PASSWORD}'`, [user, host])
    return async () => {
      for (const host of ['localhost', '127.0.0.1']) await admin.raw('DROP USER ??@?', [user, host])
      await opened[Symbol.asyncDispose]()
    }
  })

  it('a wrong password, and none', async () => {
    const wrong = await errorWith({ password: 'wrong' })
    expect(wrong).toMatchObject({ code: 'ERR_SESSION_DATABASE', driverCode: 'ER_ACCESS_DENIED_ERROR' })
    expect(wrong.message).toMatch(/could not be made: the password is wrong or missing.*The driver says: Access denied for user .*YES\)/)
    expect((await errorWith({ password: undefined })).message).toMatch(
      /driver says "using password: NO", none was given.*password: NO\) \(driver code/
    )
  })

  it('a database that does not exist, and one that is not for this user', async () => {
    const missing = await errorWith({ user: 'root', password: '', database: 'not_there' })
    expect(missing).toMatchObject({ code: 'ERR_SESSION_DATABASE', driverCode: 'ER_BAD_DB_ERROR' })
    expect(missing.message).toMatch(/the database does not exist.*CREATE DATABASE.*The driver says: Unknown database 'not_there'/)
    const denied = await errorWith({ database: 'mysql' })
    expect(denied.message).toMatch(/may not use this database, or it does not exist.*GRANT .* ON the_database\.\* TO/)
  })

  it('too many connections', async () => {
    for (const host of ['localhost', '127.0.0.1']) await admin.raw('ALTER USER ??@? WITH MAX_USER_CONNECTIONS 1', [user, host])
    const holder = createKnex({ client: 'mysql2', connection: { ...address, database: '', user, password: PASSWORD }, pool: { min: 0 } })
    try {
      await holder.raw('SELECT 1')
      const error = await errorWith({ database: '' })
      expect(error).toMatchObject({ code: 'ERR_SESSION_DATABASE_UNREACHABLE', driverCode: expect.stringMatching(/ER_/) })
      expect(error.message).toMatch(/has reached its limit of connections; give each process a smaller pool/)
    } finally {
      await holder.destroy()
      for (const host of ['localhost', '127.0.0.1']) await admin.raw('ALTER USER ??@? WITH MAX_USER_CONNECTIONS 0', [user, host])
    }
  })

  it('no database', async () => {
    expect((await errorWith({ database: undefined })).message).toMatch(/no database is chosen; set database in the connection/)
  })

  it('no SSL, or SSL that nobody vouches for: MySQL makes its own certificates, MariaDB 10.11 makes none', async () => {
    const { message } = await errorWith({ ssl: {} })
    if (await isMariadb(admin)) expect(message).toMatch(/does not support SSL; remove ssl/)
    else expect(message).toMatch(/not signed by an authority that Node trusts; give its CA.*The driver says: self-signed certificate/)
  })
})

describe.each(['pg', 'mysql2'])('on the way to the server, %s:', (client) => {
  it('a host that nobody knows', async () => {
    const error = await errorOf({ client, connection: { host: 'no-such-host.invalid', user: 'ada', password: PASSWORD } })
    expect(error).toMatchObject({ code: 'ERR_SESSION_DATABASE_UNREACHABLE', driverCode: expect.stringMatching(/ENOTFOUND|EAI_AGAIN/) })
    expect(error.message).toMatch(/the host name cannot be resolved; correct host.*The driver says: getaddrinfo .* no-such-host\.invalid/)
  })

  it('a port where nobody listens', async () => {
    const error = await errorOf({ client, connection: { host: '127.0.0.1', port: 1, user: 'ada', password: PASSWORD } })
    expect(error).toMatchObject({ code: 'ERR_SESSION_DATABASE_UNREACHABLE', driverCode: 'ECONNREFUSED' })
    expect(error.message).toMatch(/no server responds at this host and port; check.*The driver says: connect ECONNREFUSED 127\.0\.0\.1:1/)
  })

  it('a server that says nothing, by the time of the store and by that of Knex', async () => {
    const port = await listen(() => undefined)
    const connection = { host: '127.0.0.1', port, user: 'ada', password: PASSWORD }
    const slow = await errorOf({ client, connection }, { timeoutMs: 500 })
    expect(slow).toMatchObject({ code: 'ERR_SESSION_TIMEOUT', outcome: 'not-written' })
    expect(slow.message).toMatch(
      /within \d+ ms .*The connection was still being made: check whether the server runs, whether host and port/
    )
    const byKnex = await errorOf({ client, connection, acquireConnectionTimeout: 300 })
    expect(byKnex).toMatchObject({ code: 'ERR_SESSION_DATABASE_UNREACHABLE' })
    expect(byKnex.message).toMatch(/acquireConnectionTimeout.*the server does not respond.*host and port/)
  })

  it('a Knex that was destroyed, or has no connection', async () => {
    const knex = createKnex({ client, connection: { host: '127.0.0.1', port: 1 } })
    await knex.destroy()
    expect((await errorOn(knex)).message).toMatch(
      /the Knex was destroyed \(knex\.destroy\(\)\).*destroy it last: stop the server, await store\.close\(\)/
    )
    expect((await errorOn(createKnex({ client }))).message).toMatch(/the Knex was made without a connection; give its configuration one/)
  })

  it('a function of the configuration that throws: its text is its own', async () => {
    const connection = () => Promise.reject(new Error(`the vault refused ${PASSWORD}`))
    const { message } = await errorOf({ client, connection })
    expect(message).toMatch(/could not be made: check whether the Knex itself connects: await knex\.raw/)
  })
})

it('PostgreSQL: a server of another kind', async () => {
  const port = await listen((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  const { message } = await errorOf({ client: 'pg', connection: { host: '127.0.0.1', port, user: 'ada', password: PASSWORD } })
  expect(message).toMatch(/the server at this host and port is not PostgreSQL.*correct host and port/)
})

async function listen(answer: (socket: Socket) => unknown): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => undefined))
    socket.once('data', () => answer(socket))
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as { port: number }).port
}

describe('who may not write is told which privilege, on which table, and the GRANT', () => {
  it.skipIf(!postgres.available)('on PostgreSQL', async () => {
    await using opened = await postgres.open()
    const { knex } = opened
    const role = `says_${process.pid}`
    await new KnexSessionStore({ knex, pruneIntervalMs: false }).ready()
    await knex.raw('CREATE ROLE ?? LOGIN', [role])
    try {
      await knex.raw('GRANT SELECT ON sessions TO ??', [role])
      const reader = opened.connect({ connection: { ...addressOf(opened.url), user: role }, pool: { min: 0, max: 1 } })
      const error = await errorOn(reader)
      expect(error).toMatchObject({ code: 'ERR_SESSION_DATABASE', driverCode: '42501' })
      expect(error.message).toContain(
        `the database user ${role} lacks the privileges INSERT, UPDATE, DELETE on the table "sessions"; have its owner or an administrator run: GRANT SELECT, INSERT, UPDATE, DELETE ON "sessions" TO ${role} (driver code 42501)`
      )
      const [, grant = ''] = /run: (GRANT .*) \(driver/.exec(error.message) ?? []
      await knex.raw(grant)
      await new KnexSessionStore({ knex: reader, pruneIntervalMs: false }).set(SESSION_ID, session())
      const other = await errorOn(reader, { tableName: 'others' })
      expect(other).toMatchObject({ code: 'ERR_SESSION_TABLE_MISSING' })
      expect(other.message).toContain(
        'lacks the privilege CREATE to make it (driver code 42501). Have an administrator run: GRANT CREATE ON SCHEMA'
      )
      await knex.raw('CREATE SCHEMA closed')
      await new KnexSessionStore({ knex, schemaName: 'closed', pruneIntervalMs: false }).ready()
      expect((await errorOn(reader, { schemaName: 'closed' })).message).toContain(
        `${role} lacks the privilege USAGE of its schema on the table "closed.sessions"; have its owner or an administrator run: GRANT USAGE ON SCHEMA "closed" TO ${role}; GRANT SELECT, `
      )
      await reader.destroy()
    } finally {
      await knex.raw('DROP OWNED BY ??; DROP ROLE ??', [role, role])
    }
  })

  it.skipIf(!mysql.available)('on MariaDB', async () => {
    await using opened = await mysql.open()
    const { knex } = opened
    const user = `reads_${process.pid}`
    const { database } = addressOf(opened.url)
    await new KnexSessionStore({ knex, pruneIntervalMs: false }).ready()
    await knex.raw('CREATE USER ?@?', [user, '%'])
    try {
      await knex.raw('GRANT SELECT ON ??.sessions TO ?@?', [database, user, '%'])
      const reader = opened.connect({ connection: { ...addressOf(opened.url), user, password: '' }, pool: { min: 0, max: 1 } })
      const error = await errorOn(reader)
      expect(error).toMatchObject({ code: 'ERR_SESSION_DATABASE', driverCode: 'ER_TABLEACCESS_DENIED_ERROR' })
      expect(error.message).toMatch(
        new RegExp(
          `the database user '${user}'@'%' lacks the privileges? (INSERT|UPDATE)(, UPDATE)? on the table "sessions"; have .* run: GRANT SELECT, INSERT, UPDATE, DELETE ON \`sessions\` TO '${user}'@'%'`
        )
      )
      const [, grant = ''] = /run: (GRANT .*) \(driver/.exec(error.message) ?? []
      await knex.raw(grant)
      await new KnexSessionStore({ knex: reader, pruneIntervalMs: false }).set(SESSION_ID, session())
      expect((await errorOn(reader, { tableName: 'others' })).message).toMatch(
        /lacks the privilege SELECT on the table "others".*if the table does not exist yet, have it created first/
      )
      await knex.raw('GRANT SELECT ON ??.* TO ?@?', [database, user, '%'])
      // A connection knows the privileges on its database from its beginning.
      await reader.destroy()
      await reader.initialize()
      expect((await errorOn(reader, { tableName: 'others' })).message).toMatch(/privilege CREATE.*GRANT CREATE ON the_database\.\* TO/)
      await reader.destroy()
    } finally {
      await knex.raw('DROP USER ?@?', [user, '%'])
    }
  })
})

describe('a connection that broke while a statement was in flight', () => {
  it('is not taken for a server that is no PostgreSQL', () => {
    const dialect = detectDialect(createKnex({ client: 'pg' }), { prepare: true, durability: 'sets' })
    const error = wrapDriverError(dialect, new Error('Connection terminated unexpectedly'), 'set')
    expect(error).toMatchObject({ code: 'ERR_SESSION_DATABASE_UNREACHABLE' })
    expect(error.message).toBe(
      'session set failed on postgresql: the database could not be reached or the connection was lost; check whether the server runs, and the network between'
    )
  })
})

describe('a disk that is full', () => {
  const FULL = /the disk of the database is full; free space there/

  it.skipIf(!postgres.available)('on PostgreSQL', async () => {
    await using opened = await postgres.open()
    await new KnexSessionStore({ knex: opened.knex, pruneIntervalMs: false }).ready()
    // A server that has no room raises this code; a disk of one's own to fill is not to be had everywhere.
    await opened.knex.raw(`CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE disk_full USING MESSAGE = 'could not extend file: No space left on device'; END $$`)
    await opened.knex.raw('CREATE TRIGGER full_disk BEFORE INSERT ON sessions EXECUTE FUNCTION full_disk()')
    expect((await errorOn(opened.knex)).message).toMatch(FULL)
  })

  // ER_RECORD_FILE_FULL of a table, EE_WRITE of the binary log.
  it.skipIf(!mysql.available).each([
    [1114, 'The table is full'],
    [3, 'Error writing file "./log.000001" (errno: 28 "No space left on device")']
  ])('on MariaDB, by its error %i', async (number, text) => {
    await using opened = await mysql.open()
    await new KnexSessionStore({ knex: opened.knex, pruneIntervalMs: false }).ready()
    await opened.knex.raw(`CREATE TRIGGER full_disk BEFORE INSERT ON sessions FOR EACH ROW
      SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = ${number}, MESSAGE_TEXT = '${text}'`)
    expect((await errorOn(opened.knex)).message).toMatch(FULL)
  })

  it('on SQLite', async () => {
    await using opened = await databaseNamed('sqlite').open()
    await new KnexSessionStore({ knex: opened.knex, pruneIntervalMs: false }).ready()
    const knex = opened.connect({ pool: { min: 1, max: 1 } })
    await knex.raw('PRAGMA max_page_count = 1')
    await knex.raw('CREATE TABLE ballast (text text)').catch(() => undefined)
    const store = new KnexSessionStore({ knex, pruneIntervalMs: false })
    const large = { ...session(), ballast: 'x'.repeat(1_000_000) }
    await expect(store.set(SESSION_ID, large)).rejects.toThrow(FULL)
    await store.close()
  })
})

describe('SQLite tells what is wrong with its file:', () => {
  let folder: string
  const errorAt = (filename: string, options: object = {}) =>
    errorOf({ client: 'better-sqlite3', connection: { filename: join(folder, filename), options } as never })

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'knex-session-store-says-'))
    return () => rm(folder, { recursive: true, force: true })
  })

  it('its folder does not exist', async () => {
    const error = await errorAt('nowhere/sessions.sqlite')
    expect(error).toMatchObject({ code: 'ERR_SESSION_DATABASE_UNREACHABLE' })
    expect(error.message).toMatch(
      /the folder of the database file does not exist; create it, or correct filename.*The driver says: Cannot open/
    )
  })

  it('it is a folder', async () => {
    await mkdir(join(folder, 'data'))
    expect((await errorAt('data')).message).toMatch(
      /cannot be opened: filename is a folder.*correct filename.*The driver says: unable to open/
    )
  })

  it('schemaName is no attached database', async () => {
    const error = await errorOn(sqlite('attached.sqlite'), { schemaName: 'web' })
    expect(error.message).toMatch(
      /no database is attached under the name that the option schemaName gives; leave schemaName out, or attach/
    )
  })

  it('it is no database', async () => {
    await writeFile(join(folder, 'notes.txt'), `${PAYLOAD} `.repeat(100))
    const error = await errorAt('notes.txt')
    expect(error).toMatchObject({ code: 'ERR_SESSION_DATABASE', driverCode: 'SQLITE_NOTADB' })
    expect(error.message).toMatch(/is not an SQLite database, or it is encrypted; correct filename/)
  })

  it('it is opened to be read alone', async () => {
    await new KnexSessionStore({ knex: sqlite('ro.sqlite'), pruneIntervalMs: false }).ready()
    const error = await errorAt('ro.sqlite', { readonly: true })
    expect(error).toMatchObject({ code: 'ERR_SESSION_READ_ONLY' })
    expect(error.message).toMatch(/read-only: this process may not write the file or its folder, or Knex opens the file for reading alone/)
  })

  it('what the application does with a new connection fails: its text is its own', async () => {
    const connection = { filename: join(folder, 'any.sqlite') }
    type Pragma = { exec(sql: string): void }
    const failing = [
      (_connection: Pragma, done: (error?: Error) => void) => done(new Error(`no key ${PASSWORD}`)),
      (raw: Pragma, done: (error?: unknown) => void) => {
        try {
          raw.exec(`SELECT "${PASSWORD}" FROM`)
        } catch (error) {
          done(error)
        }
      },
      (raw: Pragma, done: (error?: unknown) => void) => {
        try {
          raw.exec(`${PASSWORD} = 1`)
        } catch (error) {
          done(error)
        }
      }
    ]
    for (const afterCreate of failing) {
      const { message } = await errorOf({ client: 'better-sqlite3', connection, pool: { min: 0, max: 1, afterCreate } })
      expect(message).toMatch(/could not be made: check whether the Knex itself connects: await knex\.raw/)
    }
  })

  it('the driver is of another Node', async () => {
    await writeFile(join(folder, 'driver.node'), 'made for another Node')
    const error = await errorAt('any.sqlite', { nativeBinding: join(folder, 'driver.node') })
    expect(error).toMatchObject({ driverCode: 'ERR_DLOPEN_FAILED' })
    expect(error.message).toMatch(
      /built for another Node or another system, or was not built; build it with the Node.*npm rebuild better-sqlite3.*The driver says: /
    )
  })

  it('the driver was never built', async () => {
    const { message } = await errorAt('any.sqlite', { nativeBinding: join(folder, 'nowhere.node') })
    expect(message).toMatch(/npm rebuild better-sqlite3. The driver says: Cannot find module/)
    expect(message).not.toContain('\n')
  })

  function sqlite(filename: string): Knex {
    const knex = createKnex({ client: 'better-sqlite3', connection: { filename: join(folder, filename) }, useNullAsDefault: true })
    onTestFinished(() => knex.destroy())
    return knex
  }
})

describe('a session that is nested too deeply', () => {
  const DEEP = /nested too deeply \(thousands of objects within objects\); keep such a structure elsewhere, or as text/

  const nested = (levels: number): string => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`

  it('cannot be written, and says why', async () => {
    await using opened = await databaseNamed('sqlite').open()
    const store = new KnexSessionStore({ knex: opened.knex, pruneIntervalMs: false })
    const deep = { ...session(), deep: JSON.parse(nested(200_000)) }
    await expect(store.set(SESSION_ID, deep)).rejects.toMatchObject({
      code: 'ERR_SESSION_UNSERIALIZABLE',
      message: expect.stringMatching(DEEP)
    })
    await store.close()
  })

  it('cannot be merged with what another request wrote, and says why', async () => {
    await using opened = await databaseNamed('sqlite').open()
    const store = new KnexSessionStore({ knex: opened.knex, pruneIntervalMs: false })
    await store.set(SESSION_ID, { ...session(), deep: JSON.parse(nested(3000)) } as SessionData)
    const request = { sessionStore: store } as unknown as Parameters<typeof store.createSession>[0]
    const loaded = [await store.get(SESSION_ID), await store.get(SESSION_ID)].map((data) => {
      return store.createSession(Object.assign({}, request, { sessionID: SESSION_ID }), data as SessionData)
    })
    const [first, second] = loaded as unknown as [SessionData, SessionData]
    await store.set(SESSION_ID, Object.assign(first, { one: 1 }))
    await expect(store.set(SESSION_ID, Object.assign(second, { two: 2 }))).rejects.toMatchObject({
      code: 'ERR_SESSION_UNSERIALIZABLE',
      message: expect.stringMatching(DEEP)
    })
    await store.close()
  })
})
