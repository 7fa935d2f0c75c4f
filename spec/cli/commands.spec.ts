import { rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { Knex } from 'knex'
import { expect, it } from 'vitest'
import { createSessionsTable, encrypted, KnexSessionStore, sessionsTableSql, storedIdOf } from '../../lib'
import { assemble } from '../../lib/assemble'
import { resolveOptions } from '../../lib/options/store-options'
import { makeTable } from '../schema/foreign-makers'
import { dumpTable } from '../schema/table-dump'
import { type DatabaseName, describeDatabases, type OpenDatabase } from '../support/databases'
import { isMariadb } from '../support/mysql-kind'
import { handMade } from '../support/stores'
import { Application, urlOf } from './command'

const SECRET = 'the secret data of a session'
const HOUR = 3_600_000
const OLD_KEY = 'the old key, of thirty-two characters'
const NEW_KEY = 'a new key with thirty-two characters'

const fine = (stdout: unknown = expect.any(String)) => ({ exitCode: 0, stdout, stderr: '' })
const json = (text: string) => JSON.parse(text)
const utc = (ms: number) => `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')} UTC`

interface SessionOptions {
  readonly prefix?: string
  readonly storedId?: 'plain'
  readonly keys?: readonly string[]
}

/** Sessions as an application writes them. */
async function signIn(knex: Knex, users: Readonly<Record<string, string | undefined>>, options: SessionOptions = {}): Promise<void> {
  const { keys, ...others } = options
  const codec = keys === undefined ? {} : { codec: encrypted({ keys }) }
  const owner = (session: object) => (session as { user?: string }).user
  const store = new KnexSessionStore({ knex, owner, pruneIntervalMs: false, ...others, ...codec })
  for (const [id, user] of Object.entries(users)) await store.set(id, handMade({ user, secret: SECRET }))
  await store.close()
}

/** Rows that ended so long ago that they may be pruned. */
async function addEnded(knex: Knex, count: number, endedAt = Date.now() - HOUR): Promise<void> {
  const row = { data: '{}', revision: 1, created_at: 1, last_seen_at: 1, expires_at: endedAt, expires_hour: Math.ceil(endedAt / HOUR) }
  const rows = Array.from({ length: count }, (_, number) => ({ id: `ended ${number}`, ...row }))
  await knex.batchInsert('sessions', rows, 100)
}

const rowsOf = (knex: Knex): Promise<Record<string, unknown>[]> =>
  knex('sessions')
    .select('id', 'data', 'expires_at', 'expires_hour', 'owner_id', 'created_at', 'last_seen_at', 'revision')
    .orderBy(['owner_id', 'created_at', 'id'])

/** That nothing which must be kept secret is in the output. */
function expectNoSecret(output: string, { url, name }: OpenDatabase, ids: readonly string[] = []): void {
  expect(output).not.toContain(SECRET)
  for (const id of ids) expect(output).not.toContain(id)
  if (name !== 'sqlite') expect(output).not.toContain(new URL(url).password || 'no password')
}

describeDatabases('the command line', (database) => {
  it('status shows the table and what is in it, by a knexfile and by a URL', async () => {
    await using opened = await database.open()
    await using application = await Application.create(opened)
    const { knex } = opened
    await signIn(knex, { 'ada 1': 'ada', 'ada 2': 'ada', 'ben 1': 'ben' })
    const store = new KnexSessionStore({ knex, pruneIntervalMs: false })
    await store.destroy('ben 1')
    await store.prune()
    await store.close()
    await addEnded(knex, 3, Date.now() - 60_000)

    const text = await application.run('status')
    expect(text).toEqual(
      fine(
        expect.stringMatching(
          /^table "sessions" on \w+: its layout is right\nlive +2, the oldest of .* UTC\nexpired +3, waiting for the pruner\nended +1, waiting/
        )
      )
    )
    const { stdout } = await application.run('status', '--url', urlOf(opened), '--json')
    const indexUses: Partial<Record<DatabaseName, unknown>> = {
      postgres: expect.arrayContaining([{ name: 'sessions_pkey', uses: expect.any(Number) }]),
      // It counts them if its setting userstat is on.
      mysql: expect.toSatisfy((uses) => uses === null || Array.isArray(uses)),
      sqlite: null
    }
    expect(json(stdout)).toEqual({
      ok: true,
      table: 'sessions',
      schema: null,
      dialect: expect.any(String),
      layout: 'right',
      live: 2,
      expired: 3,
      ended: 1,
      overdue: 0,
      bytes: expect.toSatisfy((bytes) => bytes > 4000),
      indexes: indexUses[database.name],
      oldest: expect.stringMatching(/^\d{4}-.*Z$/),
      problems: []
    })
    expectNoSecret(text.stdout + stdout, opened, [storedIdOf('ada 1'), 'ada 1'])
  })

  it('status shows how often each index was used, or says that the database does not count it', async () => {
    await using opened = await database.open()
    await using application = await Application.create(opened)
    const { knex } = opened
    await createSessionsTable(knex)
    const uses = async () => {
      const { indexes } = json((await application.run('status', '--json')).stdout) as { indexes: { name: string; uses: number }[] | null }
      return indexes?.map(({ uses }) => uses).reduce((sum, uses) => sum + uses, 0)
    }
    if (database.name === 'sqlite') {
      expect(await uses()).toBeUndefined()
      expect((await application.run('status')).stdout).toMatch(/\nindexes +\w+ does not count their use\n/)
      return
    }
    // What is switched off by default on MariaDB is switched on for all, which harms nobody. MySQL counts by itself.
    if (database.name === 'mysql' && (await isMariadb(knex))) await knex.raw('SET GLOBAL userstat = 1')
    const before = (await uses()) as number
    await addEnded(knex, 5)
    await knex.transaction(async (trx) => {
      // A table of a few rows is read without its indexes.
      if (database.name === 'postgres') await trx.raw('SET LOCAL enable_seqscan = off')
      for (let i = 0; i < 3; i++) await trx('sessions').where({ id: 'ended 1' }).select('data')
      if (database.name === 'postgres') await trx.raw('SELECT pg_stat_force_next_flush()')
    })
    expect(await uses()).toBeGreaterThanOrEqual(before + 3)
    expect((await application.run('status')).stdout).toMatch(/\nindex +\S+, used [\d,]+ times?\n/)
  })

  it('status counts the rows of one prefix, and more rows than one statement looks at', async () => {
    await using opened = await database.open()
    await using application = await Application.create(opened)
    await signIn(opened.knex, { a: 'ada' }, { prefix: 'web:' })
    await signIn(opened.knex, { b: 'ada' })
    await addEnded(opened.knex, 10_500)
    expect(json((await application.run('status', '--json')).stdout)).toMatchObject({ live: 2, expired: 10_500 })
    expect(json((await application.run('status', '--json', '--prefix', 'web:')).stdout)).toMatchObject({ live: 1, expired: 0 })
  })

  it('status says when nobody prunes, and what to do about it', async () => {
    await using opened = await database.open()
    await using application = await Application.create(opened)
    await createSessionsTable(opened.knex)
    await addEnded(opened.knex, 5, Date.now() - 5 * HOUR)
    const { exitCode, stdout } = await application.run('status')
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(/! 5 of the rows that wait ended more than two hours ago.*\n {2}run knex-session-store prune/)
  })

  it('status and check fail for a table that is missing or not ours, and every other command too', async () => {
    await using opened = await database.open()
    await using application = await Application.create(opened)
    expect(json((await application.run('status', '--json')).stdout)).toMatchObject({ ok: false, layout: 'missing' })
    const missing = await application.run('status')
    expect(missing).toMatchObject({
      exitCode: 1,
      stdout: expect.stringContaining('the sessions table "sessions" does not exist in this database')
    })
    const options = `const { encrypted } = require('knex-session-store'); module.exports = { codec: encrypted({ keys: ['${NEW_KEY}'] }) }`
    await application.write({ 'session-options.js': options })
    const commands = [
      ['check'],
      ['prune'],
      ['owner', 'ada'],
      ['destroy', '--owner', 'ada'],
      ['rehash'],
      ['reencrypt', '--options', 'session-options.js']
    ]
    for (const command of commands) {
      const { exitCode, stderr } = await application.run(...command)
      expect({ exitCode, stderr }, command.join(' ')).toEqual({
        exitCode: 1,
        stderr: expect.stringMatching(/does not exist in this database. Check --knexfile/)
      })
      expect(stderr).not.toMatch(/\n +at /)
    }
    expect(await dumpTable(database.name, opened.knex)).toBe('')

    await using theirs = await makeTable('connect-session-knex', opened, 'sessions')
    expect(await application.run('status')).toMatchObject({
      exitCode: 1,
      stdout: expect.stringMatching(
        /\n! .*it looks like the table of connect-session-knex.*\n {2}Check --table and --schema. Set the option tableName/
      )
    })
    const { exitCode, stdout } = await application.run('check', '--json')
    expect({ exitCode, ...json(stdout) }).toMatchObject({ exitCode: 1, ok: false, error: { code: 'ERR_SESSION_FOREIGN_TABLE' } })
    expect(await application.run('prune')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('looks like the table of connect-session-knex')
    })
    await theirs.check()
  })

  it('check says in one line that all is well', async () => {
    await using opened = await database.open()
    await using application = await Application.create(opened)
    await createSessionsTable(opened.knex, { tableName: 'web' })
    expect(await application.run('check', '--table', 'web')).toEqual(
      fine(expect.stringMatching(/^ok: sessions can be read and written in "web" on \w+, in \d+ ms\n$/))
    )
    const { stdout } = await application.run('check', '--table=web', '--json')
    expect(json(stdout)).toEqual({ ok: true, table: '"web"', dialect: expect.any(String), latencyMs: expect.any(Number) })
  })

  it('prune deletes what has ended, and says how far it is', async () => {
    await using opened = await database.open()
    await using application = await Application.create(opened)
    await signIn(opened.knex, { a: 'ada' })
    await addEnded(opened.knex, 1200)
    const { exitCode, stdout, stderr } = await application.run('prune', '--batch', '500')
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: 'deleted 1,200 rows\n' })
    expect(stderr).toMatch(/^prune: 0 of 1,200\n(prune: .*\n)*prune: 1,200 of 1,200, [\d,]+ a second\n$/)
    expect(await opened.knex('sessions').select('owner_id')).toEqual([{ owner_id: 'ada' }])
    expect(json((await application.run('prune', '--json')).stdout)).toEqual({
      ok: true,
      pruned: 0,
      stopped: false,
      waiting: 0,
      waitingUntil: null
    })
  })

  it('prune says which rows of ended sessions stay, and until when', async () => {
    await using opened = await database.open()
    await using application = await Application.create(opened)
    const { knex } = opened
    const minute = 60_000
    const now = Date.now()
    await signIn(knex, { live: 'ada', destroyed: 'ada' })
    await addEnded(knex, 2, now - 3 * minute)
    expect(await application.run('prune')).toMatchObject({
      exitCode: 0,
      stdout: `deleted 0 rows\n2 rows of ended sessions stay for now, until ${utc(now + 7 * minute)} at the latest: a request that still holds such a session must find that it has ended\n`
    })
    const store = new KnexSessionStore({ knex, pruneIntervalMs: false })
    await store.destroy('destroyed')
    await store.close()
    const { waiting, waitingUntil } = json((await application.run('prune', '--json')).stdout)
    expect(waiting).toBe(3)
    // At that moment they may be deleted, and the one that was destroyed not a minute earlier.
    const left = async (at: number) => {
      const clocked = new KnexSessionStore({ knex, pruneIntervalMs: false, clock: () => at })
      const rows = await assemble(resolveOptions({ knex, pruneIntervalMs: false, clock: () => at })).table.prunable()
      await clocked.close()
      return rows
    }
    expect(await left(Date.parse(waitingUntil) + 1)).toBe(3)
    expect(await left(Date.parse(waitingUntil) - minute)).toBe(2)
  })

  it('owner and destroy tell of sessions of the owner under another prefix, and leave them', async () => {
    await using opened = await database.open()
    await using application = await Application.create(opened)
    await signIn(opened.knex, { a: 'ada', b: 'ada' }, { prefix: 'web:' })
    await signIn(opened.knex, { c: 'ada' }, { prefix: 'api:', storedId: 'plain' })
    await signIn(opened.knex, { d: 'ada' })
    const { stdout } = await application.run('owner', 'ada')
    expect(stdout).toContain('1 live session\n')
    expect(stdout).toContain(
      '! 2 more live sessions of this owner are under the prefix "web:"; if they are of your application, give --prefix web: (or its --options)\n'
    )
    expect(stdout).toContain('! 1 more live session of this owner is under the prefix "api:"')
    const destroyed = json((await application.run('destroy', '--owner', 'ada', '--prefix', 'web:', '--json')).stdout)
    expect(destroyed).toEqual({
      ok: true,
      destroyed: 2,
      otherPrefixes: expect.arrayContaining([
        { prefix: 'api:', live: 1 },
        { prefix: '', live: 1 }
      ])
    })
    expect((await application.run('destroy', '--owner', 'ada', '--prefix', 'api:')).stdout).toMatch(
      /^ended 1 session\n! 1 more live session of this owner is without this prefix; if it is of your application, leave out --prefix \(or/
    )
  })

  it('prune stops after a batch at Ctrl-C, and goes on when it is run again', async () => {
    await using opened = await database.open()
    await using application = await Application.create(opened)
    await createSessionsTable(opened.knex)
    await addEnded(opened.knex, 12_000)
    const running = application.start('prune', '--batch', '1')
    await running.says(/prune: 0 of 12,000/)
    running.interrupt()
    const { exitCode, stdout, stderr } = await running.ended
    expect({ exitCode, stdout }).toEqual({
      exitCode: 130,
      stdout: expect.stringMatching(/^deleted [\d,]+ rows?; stopped before the end, run it again to go on\n$/)
    })
    expect(stderr).toContain('stopping after this batch')
    const left = (await rowsOf(opened.knex)).length
    const [, deleted = ''] = /deleted ([\d,]+)/.exec(stdout) ?? []
    expect(left).toBe(12_000 - Number(deleted.replace(',', '')))
    expect(left).toBeGreaterThan(0)
    expect((await application.run('prune')).exitCode).toBe(0)
    expect(await rowsOf(opened.knex)).toEqual([])
  })

  it('owner lists the sessions of an owner, and destroy ends them, all or but one', async () => {
    await using opened = await database.open()
    await using application = await Application.create(opened)
    await signIn(opened.knex, { 'ada phone': 'ada', 'ada laptop': 'ada', 'ben phone': 'ben' })
    await signIn(opened.knex, { 'ada-plain': 'ada' }, { storedId: 'plain' })
    const listed = await application.run('owner', 'ada', '--json')
    const { sessions } = json(listed.stdout) as { sessions: { handle: string }[] }
    expect(sessions).toHaveLength(3)
    const date = expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/)
    expect(sessions[0]).toEqual({ handle: expect.stringMatching(/^[\w-]{43}$/), createdAt: date, lastSeenAt: date, expiresAt: date })
    const text = await application.run('owner', 'ada')
    expect(text).toEqual(fine(expect.stringMatching(/^handle +began +last seen +ends\n([\w-]{43} .*UTC\n){3}3 live sessions\n$/)))
    expectNoSecret(listed.stdout + text.stdout, opened, [
      'ada phone',
      'ada-plain',
      ...(await rowsOf(opened.knex)).map(({ id }) => id as string)
    ])

    const nobody = await application.run('destroy', '--owner', 'ada', '--except', 'no handle at all')
    expect(nobody).toMatchObject({ exitCode: 1, stdout: '', stderr: expect.stringContaining('so none was ended') })
    const kept = sessions[1]?.handle as string
    expect(await application.run('destroy', '--owner', 'ada', '--except', kept)).toEqual(fine('ended 2 sessions\n'))
    expect(json((await application.run('owner', 'ada', '--json')).stdout)).toMatchObject({ sessions: [{ handle: kept }] })
    expect(json((await application.run('destroy', '--owner', 'ada', '--json')).stdout)).toEqual({
      ok: true,
      destroyed: 1,
      otherPrefixes: []
    })
    expect(await application.run('owner', 'ada')).toEqual(fine('0 live sessions\n'))
    expect(await application.run('owner', 'ben')).toEqual(fine(expect.stringContaining('\n1 live session\n')))
  })

  it('sql prints what makes the table, without a connection', async () => {
    await using opened = await database.open()
    await using application = await Application.create(opened)
    const client = opened.config.client as string
    const expected = sessionsTableSql({ client, tableName: 'web' })
    expect(await application.run('sql', '--table', 'web')).toEqual(fine(`${expected};\n`))
    expect(await application.run('sql', '--client', client, '--table', 'web')).toEqual(fine(`${expected};\n`))
    const { statements } = json((await application.run('sql', '--table', 'web', '--json')).stdout)
    for (const statement of statements) await opened.knex.raw(statement)
    expect((await application.run('check', '--table', 'web')).exitCode).toBe(0)
  })

  it('reencrypt writes the rows of an old key under the newest one, and leaves all else of them', async () => {
    await using opened = await database.open()
    const options = `const { encrypted } = require('knex-session-store')
module.exports = { codec: encrypted({ keys: ['${NEW_KEY}', '${OLD_KEY}'] }), prefix: 'web:' }`
    await using application = await Application.create(opened, { 'session-options.js': options })
    await signIn(opened.knex, { a: 'ada', b: 'ben', c: undefined }, { keys: [OLD_KEY], prefix: 'web:' })
    await signIn(opened.knex, { d: 'ada' }, { keys: [NEW_KEY], prefix: 'web:' })
    const before = await rowsOf(opened.knex)
    const { exitCode, stdout, stderr } = await application.run('reencrypt', '--options', 'session-options.js')
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: 're-encrypted 3 sessions of 4 rows\n' })
    expect(stderr).toContain('reencrypt: 4 of 4')
    const after = await rowsOf(opened.knex)
    expect(after.map((row) => ({ ...row, data: '' }))).toEqual(before.map((row) => ({ ...row, data: '' })))
    const store = new KnexSessionStore({ knex: opened.knex, codec: encrypted({ keys: [NEW_KEY] }), prefix: 'web:', pruneIntervalMs: false })
    expect(await Promise.all(['a', 'b', 'c', 'd'].map((id) => store.get(id)))).toEqual(
      Array(4).fill(expect.objectContaining({ secret: SECRET }))
    )
    await store.close()
    const again = await application.run('reencrypt', '--options', 'session-options.js', '--json')
    expect(json(again.stdout)).toEqual({ ok: true, looked: 4, rewritten: 0, unreadable: 0, taken: 0, stopped: false })
    expectNoSecret(stdout + stderr + again.stdout, opened, [OLD_KEY, NEW_KEY, ...after.map(({ id }) => id as string)])
  })

  it('reencrypt tells of sessions that no key can read, and leaves them', async () => {
    await using opened = await database.open()
    const options = `const { encrypted } = require('knex-session-store')
module.exports = async () => ({ codec: encrypted({ keys: ['${NEW_KEY}'] }) })`
    await using application = await Application.create(opened, { 'session-options.js': options })
    await signIn(opened.knex, { a: 'ada' }, { keys: [OLD_KEY] })
    const before = await rowsOf(opened.knex)
    const { exitCode, stdout } = await application.run('reencrypt', '--options', 'session-options.js')
    expect({ exitCode, stdout }).toEqual({
      exitCode: 1,
      stdout: 're-encrypted 0 sessions of 1 row\n! 1 session cannot be read with the codec of --options, and stayed as they are\n'
    })
    expect(await rowsOf(opened.knex)).toEqual(before)
  })

  it('rehash moves plain ids to their hashes, and leaves all else of the rows', async () => {
    await using opened = await database.open()
    await using application = await Application.create(opened)
    await signIn(opened.knex, { plain1: 'ada', 'plain 2': undefined }, { storedId: 'plain' })
    await signIn(opened.knex, { hashed: 'ben' })
    const before = await rowsOf(opened.knex)
    const { exitCode, stdout, stderr } = await application.run('rehash')
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: expect.stringMatching(/^moved 2 sessions of [345] rows\n$/) })
    const after = await rowsOf(opened.knex)
    expect(after.map((row) => ({ ...row, id: '' }))).toEqual(before.map((row) => ({ ...row, id: '' })))
    expect(after.map(({ id }) => id).sort()).toEqual(['plain1', 'plain 2', 'hashed'].map((id) => storedIdOf(id)).sort())
    expectNoSecret(stdout + stderr, opened, ['plain1', 'plain 2'])
    expect(json((await application.run('rehash', '--json')).stdout)).toMatchObject({ ok: true, looked: 3, rewritten: 0 })
  })

  it('rehash stops at Ctrl-C, and goes on when it is run again', async () => {
    await using opened = await database.open()
    await using application = await Application.create(opened)
    await createSessionsTable(opened.knex)
    const endsAt = Date.now() + 24 * HOUR
    const row = {
      data: JSON.stringify(handMade()),
      revision: 1,
      created_at: 1,
      last_seen_at: 1,
      expires_at: endsAt,
      expires_hour: Math.ceil(endsAt / HOUR)
    }
    await opened.knex.batchInsert(
      'sessions',
      Array.from({ length: 4000 }, (_, number) => ({ id: `plain ${number}`, ...row })),
      100
    )
    const running = application.start('rehash', '--batch', '2')
    await running.says(/rehash: 0/)
    running.interrupt()
    expect(await running.ended).toMatchObject({ exitCode: 130, stdout: expect.stringContaining('run it again to go on') })
    expect((await application.run('rehash')).exitCode).toBe(0)
    const ids = (await rowsOf(opened.knex)).map(({ id }) => id as string)
    expect(new Set(ids)).toEqual(new Set(Array.from({ length: 4000 }, (_, number) => storedIdOf(`plain ${number}`))))
  })

  it('takes the table from userParams of the knexfile, and an environment of it', async () => {
    await using opened = await database.open()
    await using application = await Application.create(opened)
    await createSessionsTable(opened.knex, { tableName: 'web', columns: { id: 'sid' } })
    const { url, name } = opened
    const connection = JSON.stringify(name === 'sqlite' ? { filename: url } : url)
    await application.write({
      'other.mjs': `export default async () => ({ production: { client: '${opened.config.client}', connection: ${connection}, useNullAsDefault: true,
  userParams: { sessionsTable: { tableName: 'web', columns: { id: 'sid' } } } }, development: { client: 'pg' } })`
    })
    expect(await application.run('check', '--knexfile', 'other.mjs', '--env', 'production')).toEqual(fine(expect.stringContaining('ok: ')))
    expect(await application.run('check', '--knexfile', 'other.mjs', '--env', 'staging')).toEqual({
      exitCode: 2,
      stdout: '',
      stderr: expect.stringMatching(/has no environment "staging"; it has: production, development. Give --env <name>\n$/)
    })
  })
})

it('ends within some seconds if the database cannot be reached, and says so without the password', async () => {
  const silent = createServer((socket) => void socket.on('error', () => undefined).resume())
  await new Promise<void>((resolve) => void silent.listen(0, '127.0.0.1', resolve))
  const { port } = silent.address() as { port: number }
  await using application = await Application.create()
  for (const scheme of ['postgres', 'mysql']) {
    const begin = Date.now()
    const refused = application.run('check', '--url', `${scheme}://app:my-p4ssword@127.0.0.1:1/app`)
    const unanswered = application.run('status', '--url', `${scheme}://app:my-p4ssword@127.0.0.1:${port}/app`, '--timeout', '1500')
    for (const { exitCode, stdout, stderr } of [await refused, await unanswered]) {
      expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' })
      expect(stderr).toMatch(
        /^knex-session-store: session .* (could not be made|still being made|gave no connection|could not be reached|no response)[^\n]*\n$/
      )
      expect(stderr).not.toContain('my-p4ssword')
    }
    expect(Date.now() - begin).toBeLessThan(25_000)
  }
  await new Promise((resolve) => silent.close(resolve))
})

it.each<[args: string[], stderr: string | RegExp]>([
  [['statsu'], /there is no command "statsu"; did you mean status \(commands: status, check,/],
  [['--json', 'status'], /there is no command .*--json.*: the command comes first/],
  [['status'], /which database\? There is no knexfile in this folder: give --knexfile <file> or --url <url>/],
  [['status', '--tabel', 'x'], /status has no option --tabel; did you mean --table\. See: knex-session-store status --help/],
  [['status', '--table'], /--table needs a value: --table <name>/],
  [['status', '--table', '--json'], /--table needs a value/],
  [['status', '--json=yes'], /--json takes no value/],
  [['status', 'sessions'], /status takes no values, and 1 were given/],
  [['owner'], /owner needs <id>/],
  [['owner', 'a', 'b'], /owner takes <id> alone, and 2 were given/],
  [['destroy', '--url', 'sqlite:x'], /destroy needs --owner <id>/],
  [['status', '--knexfile', 'no.js'], /there is no file .*no\.js \(--knexfile\)/],
  [['status', '--knexfile', 'broken.js'], /broken\.js \(--knexfile\) could not be loaded: on purpose\n$/],
  [['status', '--knexfile', 'nothing.js'], /nothing\.js has no environment "development"; it has no configuration with a client at all/],
  [['status', '--url', 'postgres://u:my-p4ssword@h:port/x'], /--url must be a URL that begins with/],
  [['status', '--url', 'http://u:my-p4ssword@h/x'], /--url must be a URL that begins with/],
  [['status', '--url', 'mysql://h/x', '--env', 'a'], /give either --url, or --knexfile and perhaps --env/],
  [['prune', '--url', 'mysql://h/x', '--timeout', '0'], /--timeout must be a whole number from 1 to 2147483647, got "0"/],
  [['status', '--url', 'mysql://h/x', '--table', 'a?'], /--table must be a name without a question mark/],
  [
    ['status', '--url', 'mysql://h/x', '--options', 'misspelt.js'],
    /unknown option "prefx", did you mean prefix\? \(in the module of --options\)/
  ],
  [['status', '--url', 'mysql://h/x', '--options', 'with-knex.js'], /the module of --options must leave out knex/],
  [
    ['reencrypt', '--url', 'mysql://h/x'],
    /reencrypt needs --options <file>, a module with the codec of the application: encrypted\(\{ keys: \[newest, old\] \}\)/
  ],
  [['check', '--knexfile', 'oracle.js'], /does not support the Knex client "oracledb"/],
  [['sql', '--client', 'oracledb'], /does not support the Knex client "oracledb"/],
  [['sql', '--client', 'pg', '--url', 'mysql://h/x'], /give either --client or --url/]
])('refuses %j as wrong usage, with one message', async (args, stderr) => {
  await using application = await Application.create(undefined, {
    'broken.js': "throw new Error('on purpose')",
    'nothing.js': 'module.exports = {}',
    'oracle.js': "module.exports = { client: 'oracledb' }",
    'misspelt.js': "module.exports = { prefx: 'web:' }",
    'with-knex.js': 'module.exports = { knex: {} }'
  })
  const ended = await application.run(...args)
  expect(ended.stderr + ended.stdout).toMatch(stderr)
  expect(ended.stderr + ended.stdout).not.toMatch(/my-p4ssword|\n +at /)
  expect(ended.exitCode).toBe(2)
})

it('says what is not installed, and that a file of a database is missing', async () => {
  await using application = await Application.create()
  expect(await application.run('status', '--url', 'sqlite:none.sqlite')).toEqual({
    exitCode: 1,
    stdout: '',
    stderr: `knex-session-store: there is no file ${join(application.folder, 'none.sqlite')} with a database in it\n`
  })
  await application.write({ 'knexfile.js': "module.exports = { client: 'mysql', connection: {} }" })
  expect(await application.run('check', '--json')).toMatchObject({
    exitCode: 1,
    stdout: expect.stringContaining('is not installed here: npm install mysql')
  })
})

it('says without a stack that a peer of the package is missing', async () => {
  await using application = await Application.create()
  await rm(join(application.folder, 'node_modules/express-session'))
  expect(await application.run('status')).toEqual({
    exitCode: 1,
    stdout: '',
    stderr: 'knex-session-store: the package express-session is not installed here: npm install express-session\n'
  })
})

it('takes a knexfile in TypeScript, where node runs it', async () => {
  const { client, connection } = { client: 'better-sqlite3', connection: { filename: 'app.sqlite' } }
  await using application = await Application.create(undefined, {
    'app.sqlite': '',
    'knexfile.ts': `import type { Knex } from 'knex'
const config: Knex.Config = ${JSON.stringify({ client, connection, useNullAsDefault: true })}
export default config`
  })
  const running = application.startWith(['--import', 'tsx'], 'status', '--json')
  const { exitCode, stdout } = await running.ended
  expect({ exitCode, ...json(stdout) }).toMatchObject({ exitCode: 1, layout: 'missing' })
})

it('has help for the whole and for each command', async () => {
  await using application = await Application.create()
  const whole = await application.run('--help')
  expect(whole).toEqual(fine(expect.stringContaining('Exit codes:')))
  const names = [...whole.stdout.matchAll(/^ {2}([a-z]+) /gm)].map(([, name = '']) => name)
  expect(names).toEqual(['status', 'check', 'prune', 'owner', 'destroy', 'import', 'sql', 'reencrypt', 'rehash'])
  for (const name of names) {
    const help = await application.run(name, '--help')
    expect(help).toEqual(fine(expect.stringContaining(`Usage: knex-session-store ${name}`)))
    expect(help.stdout).toMatch(/--json {2,}print the result/)
  }
  expect((await application.run()).exitCode).toBe(2)
})
