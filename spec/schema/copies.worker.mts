import { createRequire } from 'node:module'
import createKnex, { type Knex } from 'knex'
import type { Worker } from '../support/processes.ts'

export interface Input {
  readonly config: Knex.Config
  /** Folders with a copy of the package each. */
  readonly copies: readonly string[]
  readonly maxConnections: number
  readonly rounds: number
}

export interface Output {
  readonly classes: number
  /** The most connections of the pool that were in use at once. */
  readonly peak: number
  /** Reads by one copy that missed what the other was writing. */
  readonly missed: number
  /** Of two changes made at once, each through another copy, those that got lost. */
  readonly lost: number
}

type Package = typeof import('knex-session-store')
type Stored = { readonly [key: string]: unknown }

/** Copies of the package on one Knex, as after a hot reload, at work at the same time. */
export default (async ({ config, copies, maxConnections, rounds }) => {
  const loaded = copies.map((folder) => createRequire(import.meta.url)(`${folder}/dist/index.js`) as Package)
  const knex = createKnex(config)
  const stores = loaded.map(({ KnexSessionStore }) => new KnexSessionStore({ knex, pruneIntervalMs: false, maxConnections }))
  const [one, other] = stores as [(typeof stores)[0], (typeof stores)[0]]
  const session = (value: unknown) => ({ cookie: { originalMaxAge: 3_600_000 }, value }) as never
  await one.ready()
  let peak = 0
  knex.on('query', () => {
    peak = Math.max(peak, knex.client.pool.numUsed())
  })
  let missed = 0
  let lost = 0
  for (let round = 0; round < rounds; round++) {
    const ids = Array.from({ length: 20 }, (_, index) => `${round}-${index}`)
    const written = ids.map((id, index) => (index % 2 === 0 ? one : other).set(id, session(round)))
    const found = await Promise.all(ids.map((id, index) => (index % 2 === 0 ? other : one).get(id)))
    missed += found.filter((data) => (data as Stored | null)?.value !== round).length
    await Promise.all(written)

    const id = ids[0] as string
    const [ours, theirs] = await Promise.all([one.get(id), other.get(id)])
    Object.assign(ours as object, { ours: round })
    Object.assign(theirs as object, { theirs: round })
    await Promise.all([one.set(id, ours as never), other.set(id, theirs as never)])
    const both = (await one.get(id)) as Stored | null
    if (both?.ours !== round || both?.theirs !== round) lost++
  }
  await Promise.all(stores.map((store) => store.close()))
  await knex.destroy()
  return { classes: new Set(loaded.map(({ KnexSessionStore }) => KnexSessionStore)).size, peak, missed, lost }
}) satisfies Worker<Input, Output>
