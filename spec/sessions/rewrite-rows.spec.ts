import type { SessionData } from 'express-session'
import { expect, it } from 'vitest'
import { encrypted, json, type KnexSessionStore, type KnexSessionStoreOptions, type SessionCodec, storedIdOf } from '../../lib'
import { assemble } from '../../lib/assemble'
import { resolveOptions } from '../../lib/options/store-options'
import { reencrypt } from '../../lib/sessions/reencrypt'
import { rehash } from '../../lib/sessions/rehash'
import type { RewritingParts } from '../../lib/sessions/rewrite-rows'
import { describeDatabases } from '../support/databases'
import { handMade, type OpenStore, openStore } from '../support/stores'

const OLD_KEY = 'the old key, of thirty-two characters'
const NEW_KEY = 'a new key with thirty-two characters'
const KEYS = [NEW_KEY, OLD_KEY]

function partsOf({ knex, tableName }: OpenStore, given: Partial<KnexSessionStoreOptions>): RewritingParts {
  const options = resolveOptions({ knex, tableName, pruneIntervalMs: false, ...given })
  return { ...assemble(options), options }
}

/** Writes with the codec, and does something before each text that it encodes is written. */
function interfering(codec: SessionCodec, interfere: () => Promise<unknown>): SessionCodec {
  return {
    ...codec,
    encode: async (session, storedId) => {
      const text = await codec.encode(session, storedId)
      await interfere()
      return text
    }
  }
}

const change = async (store: KnexSessionStore, id: string, data: object) => {
  await store.set(id, Object.assign((await store.get(id)) as SessionData, data))
}

describeDatabases('re-encrypting', (database) => {
  it('loses no write of a request that comes between', async () => {
    await using opened = await openStore(database, { codec: encrypted({ keys: [OLD_KEY] }) })
    await opened.store.set('a', handMade({ visits: 1 }))
    const application = opened.another({ codec: encrypted({ keys: [OLD_KEY, NEW_KEY] }) })
    let comes = 3
    const codec = interfering(encrypted({ keys: KEYS }), async () => {
      if (comes-- > 0) await change(application, 'a', { visits: 10 - comes })
    })
    const progress: [number, number][] = []
    const result = await reencrypt(partsOf(opened, { codec }), { onProgress: (...given) => progress.push(given) })
    expect(result).toEqual({ looked: 1, rewritten: 1, unreadable: 0, taken: 0, isStopped: false })
    expect(progress).toEqual([
      [0, 1],
      [1, 1]
    ])
    const later = opened.another({ codec: encrypted({ keys: [NEW_KEY] }) })
    expect(await later.get('a')).toMatchObject({ visits: 10 })
  })

  it('is not noticed by a request that holds the session, even where conflicts are errors', async () => {
    await using opened = await openStore(database, { codec: encrypted({ keys: [OLD_KEY] }) })
    await opened.store.set('a', handMade({ visits: 1 }))
    const application = opened.another({ codec: encrypted({ keys: [OLD_KEY, NEW_KEY] }), conflict: 'error' })
    const held = (await application.get('a')) as SessionData & { visits?: number }
    expect(await reencrypt(partsOf(opened, { codec: encrypted({ keys: KEYS }) }))).toMatchObject({ rewritten: 1 })
    held.visits = 2
    await application.set('a', held)
    expect(await application.get('a')).toMatchObject({ visits: 2 })
  })

  it('brings no session back that is destroyed meanwhile', async () => {
    await using opened = await openStore(database, { codec: encrypted({ keys: [OLD_KEY] }) })
    await opened.store.set('a', handMade())
    const codec = interfering(encrypted({ keys: KEYS }), () => opened.store.destroy('a'))
    expect(await reencrypt(partsOf(opened, { codec }))).toMatchObject({ looked: 1, rewritten: 0 })
    expect(await opened.store.get('a')).toBeNull()
    expect(await opened.knex(opened.tableName).select('data')).toEqual([{ data: '{}' }])
  })

  it('stops after a batch, and the next run does the rest', async () => {
    await using opened = await openStore(database, { codec: encrypted({ keys: [OLD_KEY] }) })
    for (let number = 0; number < 10; number++) await opened.store.set(`id ${number}`, handMade({ number }))
    const parts = partsOf(opened, { codec: encrypted({ keys: KEYS }) })
    const stop = new AbortController()
    const onProgress = (done: number) => done >= 4 && stop.abort()
    expect(await reencrypt(parts, { batchSize: 2, signal: stop.signal, onProgress })).toMatchObject({ rewritten: 4, isStopped: true })
    expect(await reencrypt(parts, { batchSize: 2 })).toMatchObject({ looked: 10, rewritten: 6, isStopped: false })
    const never = await reencrypt(parts, { signal: AbortSignal.abort() })
    expect(never).toMatchObject({ looked: 0, isStopped: true })
  })

  it('encrypts what was plain, of the own prefix alone', async () => {
    await using opened = await openStore(database, { prefix: 'web:' })
    await opened.store.set('a', handMade({ text: 'plain' }))
    await opened.another({ prefix: 'api:' }).set('b', handMade({ text: 'plain' }))
    const codec = encrypted({ keys: [NEW_KEY], acceptPlain: true })
    expect(await reencrypt(partsOf(opened, { codec, prefix: 'web:' }))).toMatchObject({ looked: 1, rewritten: 1 })
    const rows = await opened.knex(opened.tableName).select('id', 'data').orderBy('id')
    expect(rows).toEqual([
      { id: expect.stringMatching(/^api:/), data: expect.stringContaining('plain') },
      { id: expect.stringMatching(/^web:/), data: expect.stringMatching(/^e1\./) }
    ])
  })

  it('needs a codec that knows what it would write differently', async () => {
    await using opened = await openStore(database)
    await expect(reencrypt(partsOf(opened, {}))).rejects.toMatchObject({ code: 'ERR_SESSION_INVALID_OPTION', option: 'codec' })
  })
})

describeDatabases('rehashing', (database) => {
  const UPGRADE = { upgradePlainIds: true } as const

  it('loses no write of a request that comes between', async () => {
    await using opened = await openStore(database, { storedId: 'plain' })
    await opened.store.set('a', handMade({ visits: 1 }))
    let comes = 3
    const codec = interfering(json, async () => {
      if (comes-- > 0) await change(opened.store, 'a', { visits: 10 - comes })
    })
    expect(await rehash(partsOf(opened, { ...UPGRADE, codec }))).toMatchObject({ rewritten: 1 })
    expect(await opened.another().get('a')).toMatchObject({ visits: 10 })
  })

  it('may meet stores that move sessions too: each is moved once', async () => {
    await using opened = await openStore(database, { storedId: 'plain' })
    const ids = Array.from({ length: 60 }, (_, number) => `id ${number}`)
    await Promise.all(ids.map((id, number) => opened.store.set(id, handMade({ number }))))
    const upgrading = opened.another(UPGRADE)
    const visits = ids.map((id, number) => change(upgrading, id, { seen: number }))
    const [first, second] = [partsOf(opened, UPGRADE), partsOf({ ...opened, knex: opened.database.connect() }, UPGRADE)]
    const results = await Promise.all([rehash(first, { batchSize: 7 }), rehash(second, { batchSize: 5 }), ...visits])
    expect(results.slice(0, 2)).toEqual(Array(2).fill(expect.objectContaining({ unreadable: 0, taken: 0 })))
    const hashed = opened.another()
    const found = await Promise.all(ids.map((id) => hashed.get(id)))
    expect(found).toEqual(ids.map((_, number) => expect.objectContaining({ number, seen: number })))
    expect(await hashed.length()).toBe(60)
    expect(await opened.store.length()).toBe(60)
  })

  it('moves data that is bound to its id, and rows of the own prefix alone', async () => {
    const codec = encrypted({ keys: [OLD_KEY] })
    await using opened = await openStore(database, { storedId: 'plain', prefix: 'web:', codec })
    await opened.store.set('a', handMade({ user: 'ada' }))
    await opened.another({ storedId: 'plain', prefix: 'api:' }).set('b', handMade())
    expect(await rehash(partsOf(opened, { ...UPGRADE, prefix: 'web:', codec }))).toMatchObject({ looked: 1, rewritten: 1 })
    expect(await opened.another({ prefix: 'web:', codec }).get('a')).toMatchObject({ user: 'ada' })
    expect(await opened.knex(opened.tableName).where('id', 'api:b').select('id')).toHaveLength(1)
  })

  it('leaves a session whose hash has a row already, and what it cannot read', async () => {
    await using opened = await openStore(database, { storedId: 'plain' })
    await opened.store.set('a', handMade({ user: 'plain' }))
    await opened.store.set('b', handMade())
    await opened.knex(opened.tableName).where('id', 'b').update({ data: 'no JSON' })
    const hashed = opened.another()
    await hashed.set('a', handMade({ user: 'hashed' }))
    expect(await rehash(partsOf(opened, UPGRADE))).toEqual({ looked: 3, rewritten: 0, unreadable: 1, taken: 1, isStopped: false })
    expect([await hashed.get('a'), await opened.store.get('a')]).toMatchObject([{ user: 'hashed' }, { user: 'plain' }])
  })

  it('leaves ids that look like hashes, which are never taken for plain ones', async () => {
    await using opened = await openStore(database, { storedId: 'plain' })
    await opened.store.set(storedIdOf('x'), handMade())
    expect(await rehash(partsOf(opened, UPGRADE))).toMatchObject({ looked: 1, rewritten: 0, taken: 0 })
  })
})
