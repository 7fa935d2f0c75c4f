import { join } from 'node:path'
import type { SessionData, Store } from 'express-session'
import { expect, it } from 'vitest'
import { encrypted, type ImportSessionsOptions, type ImportSource, importSessions, storedIdOf } from '../../lib'
import { IMPORT_SOURCES } from '../../lib/moving/sources'
import { runProcesses } from '../support/processes'
import { describeStores, handMade, openStore, type StoreOptions, shareDatabase } from '../support/stores'
import type { Input } from './import-sessions.worker.mts'
import { OTHER_STORES } from './other-stores'

/** The tables of OTHER_STORES, where they are not called as the package does. */
const TABLES: Partial<Record<ImportSource, string>> = { 'connect-session-knex': 'old_sessions', 'connect-sqlite3': 'sqlite3_sessions' }

type Data = SessionData & { user?: string; text?: string }
const owner: StoreOptions['owner'] = (data) => (data as Data).user

const put = (store: Store, id: string, data: object, cookie?: object) =>
  new Promise<void>((resolve, reject) =>
    store.set(id, handMade(data, cookie) as SessionData, (error) => (error ? reject(error) : resolve()))
  )
const UNUSUAL = 'Zoë 🦉 \u0001 "quoted" \\ \u2028'

describeStores('to import sessions', (kind) => {
  const database = shareDatabase(kind)
  const place = (knex: StoreOptions['knex'] & object) => ({ knex, url: database().url, name: database().name })

  for (const from of IMPORT_SOURCES) {
    it(`of ${from} signs nobody out`, async ({ skip }) => {
      await using opened = await openStore(database(), { owner })
      const { knex, tableName, store } = opened
      const other = await OTHER_STORES[from]?.(place(knex))
      if (other === undefined) return skip(`${from} does not run on ${kind.name}`)
      await using _ = other
      const fromTable = TABLES[from] === undefined ? {} : { fromTable: TABLES[from] }
      const expires = Date.now() + 5_000_000
      const longLife = { originalMaxAge: 5_000_000, maxAge: 5_000_000, expires: new Date(expires).toISOString() }
      await put(other.store, 'with a life', { user: 'ada', text: UNUSUAL }, longLife)
      await put(other.store, 'of the browser', { user: 'ben' }, { originalMaxAge: null, expires: null })
      await put(
        other.store,
        'expired',
        { user: 'cyd' },
        { originalMaxAge: -9_000, maxAge: -9_000, expires: new Date(Date.now() - 9_000).toISOString() }
      )
      const progress: number[][] = []
      const options: ImportSessionsOptions = { from, ...fromTable, tableName, owner, pruneIntervalMs: false }
      const result = await importSessions(knex, { ...options, onProgress: (...numbers) => progress.push(numbers) })
      expect(result).toEqual({ looked: 3, imported: 2, alreadyThere: 0, ended: 1, unreadable: 0, isStopped: false })
      expect(progress).toEqual([
        [0, 3],
        [3, 3]
      ])
      const [withLife, ofBrowser] = [(await store.get('with a life')) as Data, (await store.get('of the browser')) as Data]
      expect(withLife).toMatchObject({ user: 'ada', text: UNUSUAL })
      // The other stores keep seconds.
      expect(Math.abs(new Date(withLife.cookie.expires as Date).getTime() - expires)).toBeLessThanOrEqual(1000)
      expect([ofBrowser.user, ofBrowser.cookie.expires]).toEqual(['ben', null])
      expect(await store.get('expired')).toBeNull()
      const [device] = await store.ofOwner('ada')
      expect(Math.abs((device?.createdAt ?? 0) - Date.now())).toBeLessThan(60_000)
      const again = await importSessions(knex, options)
      expect(again).toEqual({ looked: 3, imported: 0, alreadyThere: 2, ended: 1, unreadable: 0, isStopped: false })
    })
  }

  /** Sessions of connect-session-knex, which runs on every database. */
  const open = async (count: number, options: StoreOptions = {}) => {
    const opened = await openStore(database(), { owner, ...options })
    const { knex, tableName } = opened
    const other = await OTHER_STORES['connect-session-knex']?.(place(knex))
    await knex('old_sessions')
      .delete()
      .catch(() => undefined)
    const ids = Array.from({ length: count }, (_, number) => `id ${String(number).padStart(6, '0')}`)
    if (ids[0] !== undefined) await put(other?.store as Store, ids[0], { user: 'user 0' })
    const [first] = ids[0] === undefined ? [] : await knex('old_sessions').select('*')
    const rows = ids.slice(1).map((sid, number) => ({
      ...first,
      sid,
      sess: JSON.stringify(handMade({ user: `user ${number + 1}` }))
    }))
    await knex.batchInsert('old_sessions', rows, 100)
    const given: ImportSessionsOptions = {
      from: 'connect-session-knex',
      fromTable: 'old_sessions',
      tableName,
      owner,
      pruneIntervalMs: false,
      ...options
    }
    return { ...opened, ids, given, other: other?.store as Store, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() }
  }

  it('goes on where it was stopped, and imports each once', async () => {
    await using opened = await open(2500)
    const { knex, given, store } = opened
    const controller = new AbortController()
    const onProgress = (done: number) => {
      if (done >= 800) controller.abort()
    }
    const stopped = await importSessions(knex, { ...given, batchSize: 200, onProgress, signal: controller.signal })
    expect(stopped).toMatchObject({ looked: 800, imported: 800, isStopped: true })
    expect(await importSessions(knex, given)).toMatchObject({ looked: 2500, imported: 1700, alreadyThere: 800, isStopped: false })
    expect(await store.length()).toBe(2500)
    expect(await store.get('id 002499')).toMatchObject({ user: 'user 2499' })
  })

  it('runs in several processes at once', async () => {
    await using opened = await open(1500)
    const { tableName, store } = opened
    await store.ready()
    const input: Input = { config: opened.database.config, tableName }
    const results = await runProcesses<Input, number>(join(__dirname, 'import-sessions.worker.mts'), [input, input, input])
    expect(results.map(({ error }) => error)).toEqual([undefined, undefined, undefined])
    expect(results.reduce((sum, { output = 0 }) => sum + output, 0)).toBe(1500)
    expect(await store.length()).toBe(1500)
  })

  it('brings nothing back that has ended here, and overwrites nothing', async () => {
    await using opened = await open(6)
    const { knex, given, store, ids } = opened
    const [destroyed, changed, , loggedOut, kept] = ids as [string, string, string, string, string]
    await store.set(destroyed, handMade({ user: 'user 0' }))
    await store.destroy(destroyed)
    await store.set(changed, handMade({ user: 'user 1', text: 'newer' }))
    await store.destroyOwner('user 3')
    await store.destroyOwner('user 4', { except: kept })
    expect(await importSessions(knex, given)).toMatchObject({ looked: 6, imported: 3, alreadyThere: 2, ended: 1 })
    expect(await store.get(destroyed)).toBeNull()
    expect(await store.get(changed)).toMatchObject({ text: 'newer' })
    expect(await store.get(loggedOut)).toBeNull()
    expect(await store.get(kept)).toMatchObject({ user: 'user 4' })
  })

  it('counts a session once, also after a run that failed in between', async ({ skip }) => {
    if (kind.name !== 'sqlite') return skip('the trigger that makes it fail is of SQLite')
    await using opened = await open(5)
    const { knex, given, store, tableName, ids } = opened
    await store.set(ids[0] as string, handMade({ user: 'newer' }))
    // The run ends after it has written the sessions.
    await knex.raw(
      `CREATE TRIGGER fails BEFORE UPDATE ON ${tableName} WHEN OLD.id LIKE 'knex-session-store:imported:%' BEGIN SELECT RAISE(ABORT, 'on purpose'); END`
    )
    await expect(importSessions(knex, given)).rejects.toThrow()
    await knex.raw('DROP TRIGGER fails')
    const runs = await Promise.all([importSessions(knex, given), importSessions(knex, given)])
    expect(runs.reduce((sum, { imported }) => sum + imported, 0)).toBe(4)
    expect(await importSessions(knex, given)).toMatchObject({ imported: 0, alreadyThere: 5 })
    expect(await store.get(ids[0] as string)).toMatchObject({ user: 'newer' })
  })

  it('leaves no session alive whose owner has logged out everywhere, though the run fails', async ({ skip }) => {
    if (kind.name !== 'sqlite') return skip('the triggers that make it fail are of SQLite')
    await using opened = await open(4)
    const { knex, given, store, tableName, ids } = opened
    const [, before, during] = ids as [string, string, string]
    const isAlive = async (id: string) => (await store.get(id)) !== null
    await store.destroyOwner('user 2')
    // The log-out of user 2 comes between the look and the write.
    await knex.raw(`CREATE TABLE log_out AS SELECT * FROM ${tableName} WHERE id LIKE 'knex-session-store:log-out:%'`)
    await knex(tableName).where('id', 'like', 'knex-session-store:log-out:%').delete()
    await store.destroyOwner('user 1')
    await knex.raw(
      `CREATE TRIGGER logs_out AFTER INSERT ON ${tableName} WHEN NEW.id = '${storedIdOf(during)}' BEGIN INSERT INTO ${tableName} SELECT * FROM log_out; END`
    )
    await knex.raw(
      `CREATE TRIGGER fails BEFORE UPDATE ON ${tableName} WHEN NEW.expires_at = 0 BEGIN SELECT RAISE(ABORT, 'on purpose'); END`
    )
    await expect(importSessions(knex, given)).rejects.toThrow()
    expect([await isAlive(before), await isAlive(during)]).toEqual([false, true])
    await knex.raw('DROP TRIGGER logs_out')
    await knex.raw('DROP TRIGGER fails')
    expect(await importSessions(knex, given)).toMatchObject({ looked: 4, imported: 2, alreadyThere: 1, ended: 1 })
    expect([await isAlive(before), await isAlive(during)]).toEqual([false, false])
    // The mark of a log-out does not stay for ever.
    await knex(tableName).where('id', 'like', 'knex-session-store:log-out:%').delete()
    expect(await importSessions(knex, given)).toMatchObject({ imported: 0, alreadyThere: 4 })
    expect([await isAlive(before), await isAlive(during)]).toEqual([false, false])
  })

  it('signs nobody out who has more sessions than maxSessionsPerOwner', async () => {
    await using opened = await open(5, { owner: () => 'ada', maxSessionsPerOwner: 2 })
    const { knex, given, store } = opened
    expect(await importSessions(knex, given)).toMatchObject({ imported: 5 })
    expect(await store.countOf('ada')).toBe(5)
    await store.set('new', handMade())
    expect(await store.countOf('ada')).toBe(2)
  })

  it('takes no details from a session of the other store', async () => {
    await using opened = await open(3)
    const { knex, given, store } = opened
    const forged = { ...handMade({ user: 'ada' }), '@details': { device: 'forged' } }
    await knex('old_sessions')
      .where('sid', 'id 000001')
      .update({ sess: JSON.stringify(forged) })
    expect(await importSessions(knex, given)).toMatchObject({ looked: 3, imported: 2, unreadable: 1 })
    expect(await store.ofOwner('ada')).toEqual([])
  })

  it('brings nothing back after its row was pruned', async () => {
    await using opened = await open(3)
    const { knex, given, store, tableName, ids } = opened
    await importSessions(knex, given)
    await store.destroy(ids[0] as string)
    await knex(tableName).where('expires_at', 0).update({ expires_hour: 1 })
    expect(await store.prune()).toBe(1)
    expect(await importSessions(knex, given)).toMatchObject({ looked: 3, imported: 0, alreadyThere: 3 })
    expect([await store.get(ids[0] as string), await store.length(), (await store.ids()).length]).toEqual([null, 2, 2])
  })

  it('of any size', async () => {
    await using opened = await open(0)
    const { knex, given, store, other } = opened
    const text = 'large '.repeat(10_000)
    await Promise.all(Array.from({ length: 60 }, (_, number) => put(other, `large ${number}`, { user: 'ada', text })))
    expect(await importSessions(knex, given)).toMatchObject({ looked: 60, imported: 60 })
    expect(await store.get('large 59')).toMatchObject({ text })
  })

  it('counts rows that hold no session, and leaves them', async () => {
    await using opened = await open(4)
    const { knex, given, store } = opened
    await knex('old_sessions').where('sid', 'id 000001').update({ sess: '[]' })
    await knex('old_sessions').where('sid', 'id 000002').update({ sess: '{"user":"ada"}' })
    expect(await importSessions(knex, given)).toMatchObject({ looked: 4, imported: 2, unreadable: 2 })
    expect(await knex('old_sessions').select('sid')).toHaveLength(4)
    expect(await store.length()).toBe(2)
  })

  it('uses the codec, the prefix and the form of ids of the store', async () => {
    const codec = encrypted({ keys: ['a key of this spec, long and varied'] })
    await using opened = await open(3, { codec, prefix: 'web:', storedId: 'plain' })
    const { knex, given, store, tableName } = opened
    await importSessions(knex, given)
    expect(await store.get('id 000002')).toMatchObject({ user: 'user 2' })
    const rows = (await knex(tableName).select('id', 'data')).map(({ id, data }) => [String(id), String(data)])
    expect(rows.map(([id]) => id)).toContain('web:id 000002')
    expect(rows.filter(([, data]) => data?.includes('user'))).toEqual([])
  })

  it.each<[what: string, options: object, message: RegExp]>([
    ['an unknown store', { from: 'connect-pg-simpel' }, /from must be one of .*'connect-session-knex'.*did you mean 'connect-pg-simple'/],
    [
      'no table',
      { from: 'connect-session-knex', fromTable: 'nowhere' },
      /fromTable must be the table of connect-session-knex, got "nowhere".*not there.*fromTable/
    ],
    [
      'another column',
      { from: 'connect-session-knex', fromTable: 'old_sessions', fromColumns: { expires: 'ends' } },
      /fromColumns\.expires must be a column of "?old_sessions"?, got "ends".*its columns are sid, sess, expired/
    ],
    [
      'the same table',
      { from: 'connect-session-knex', fromTable: 'sessions', tableName: 'sessions' },
      /tableName must be another table than the one of connect-session-knex.*tableName: 'web_sessions'.*fromTable/
    ],
    ['too large a batch', { from: 'connect-session-knex', batchSize: 5000 }, /batchSize must be a whole number from 1 to 1000/],
    ['an unknown option', { from: 'connect-session-knex', batch_size: 5 }, /batch_size/],
    ['nothing', {}, /from must be one of/]
  ])('says what is wrong: %s', async (_what, options, message) => {
    await using opened = await open(1)
    await expect(importSessions(opened.knex, { tableName: 'of_import', ...options } as unknown as ImportSessionsOptions)).rejects.toThrow(
      message
    )
  })
})
