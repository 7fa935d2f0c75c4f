// How many files and functions of the package one call passes, by V8's coverage: `npm run hops`, `npm run hops -- --list`.
// A measure of how much a reader has to follow, not a target.
import { Session } from 'node:inspector/promises'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import createKnex from 'knex'
import { KnexSessionStore } from 'knex-session-store'
import { startServers } from './servers/index.mjs'

const DIST = new URL('../dist/', import.meta.url).href
const WARM_UP = 200

const { values } = parseArgs({ options: { list: { type: 'boolean', default: false } } })
const session = () => ({ cookie: { originalMaxAge: 3_600_000, expires: new Date(Date.now() + 3_600_000) }, user: 'ada' })
const servers = await startServers(new Set(['pg']))
const inspector = new Session()
inspector.connect()
await inspector.post('Profiler.enable')
await inspector.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false })

try {
  const sqlite = { client: 'better-sqlite3', connection: { filename: ':memory:' }, useNullAsDefault: true }
  const table = { sqlite: await measure(sqlite) }
  if (servers.pg.missing) console.log(`left out: PostgreSQL (${servers.pg.missing})`)
  else table.postgres = await measure({ client: 'pg', connection: servers.pg.url, pool: { min: 0, max: 4 } })
  for (const [database, calls] of Object.entries(table)) {
    for (const [call, passed] of Object.entries(calls)) {
      console.log(`${database.padEnd(9)} ${call.padEnd(6)} ${passed.files.size} files, ${passed.functions.length} functions`)
      if (values.list) for (const name of passed.functions) console.log(`  ${name}`)
    }
  }
} finally {
  await servers.stop()
}

/** For each kind of call what it passes: the functions that ran, once all of them have run before. */
async function measure(config) {
  const knex = createKnex(config)
  const store = new KnexSessionStore({ knex, pruneIntervalMs: false, touchAfterMs: 0 })
  await store.set('there', session())
  const calls = {
    get: () => store.get('there'),
    set: (loaded) => store.set('there', Object.assign(loaded, { count: (loaded.count ?? 0) + 1 })),
    touch: (loaded) => {
      loaded.cookie.expires = new Date(Date.now() + 7_200_000)
      return store.touch('there', loaded)
    }
  }
  const passed = {}
  for (const [name, call] of Object.entries(calls)) {
    for (let count = 0; count < WARM_UP; count++) await call(await store.get('there'))
    const loaded = await store.get('there')
    await inspector.post('Profiler.takePreciseCoverage')
    await call(loaded)
    const { result } = await inspector.post('Profiler.takePreciseCoverage')
    passed[name] = passedIn(result)
  }
  await store.close()
  await knex.destroy()
  return passed
}

function passedIn(scripts) {
  const files = new Set()
  const functions = []
  for (const { url, functions: all } of scripts) {
    if (!url.startsWith(DIST)) continue
    const file = relative(fileURLToPath(DIST), fileURLToPath(url))
    for (const { functionName, ranges } of all) {
      if (ranges[0].count === 0) continue
      files.add(file)
      functions.push(`${file} ${functionName || '(anonymous)'}`)
    }
  }
  return { files, functions }
}
