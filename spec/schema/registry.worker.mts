import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import createKnex, { type Knex } from 'knex'
import type { Worker } from '../support/processes.ts'

export interface Input {
  readonly config: Knex.Config
  /** Folders with a copy of the package each. */
  readonly copies: readonly string[]
}

export interface Output {
  readonly copies: number
  readonly definitions: number
  readonly creations: number
  readonly looks: number
  readonly conflict: { readonly code: string; readonly fields: string[] }
}

type Package = typeof import('knex-session-store')

/** Loads each copy by `require` and by `import`, and makes a store from each of these on one Knex, none of them awaited. */
export default (async ({ config, copies }) => {
  const loaded: Package[] = []
  for (const folder of copies) {
    const entry = createRequire(import.meta.url).resolve(`${folder}/dist/index.js`)
    loaded.push(createRequire(import.meta.url)(entry), await import(pathToFileURL(entry).href))
  }
  const knex = createKnex(config)
  const statements: string[] = []
  knex.on('query', ({ sql }) => statements.push(sql))
  const stores = loaded.map(({ KnexSessionStore }) => new KnexSessionStore({ knex, pruneIntervalMs: false }))
  await Promise.all(stores.map((store, index) => store.set(`of ${index}`, { cookie: { originalMaxAge: null } } as never)))
  const definitions = loaded.map(({ registerSessionsTable }) => registerSessionsTable(knex))
  const conflict = (() => {
    try {
      loaded.at(-1)?.registerSessionsTable(knex, { columns: { id: 'sid', data: 'sess' } })
    } catch (error) {
      const { code, differences } = error as { code: string; differences: { field: string }[] }
      return { code, fields: differences.map(({ field }) => field) }
    }
    return { code: 'none', fields: [] }
  })()
  await knex.destroy()
  return {
    copies: new Set(loaded.map(({ KnexSessionStore }) => KnexSessionStore)).size,
    definitions: new Set(definitions).size,
    creations: statements.filter((sql) => /create table/i.test(sql)).length,
    looks: statements.filter((sql) => /pragma_table_info|pg_attribute|show columns|limit 0$/i.test(sql)).length,
    conflict
  }
}) satisfies Worker<Input, Output>
