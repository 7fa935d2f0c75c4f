import { makeBench, measure } from '../measure.mjs'
import { fill } from './fill.mjs'
import { idsOf } from './ids.mjs'
import { sizesOf } from './sizes.mjs'

/** What is written, and how; `--loads` chooses among them. */
export const loads = {
  touch: { name: 'touch, table as made', op: 'touch' },
  fillfactor: { name: 'touch, fillfactor 70', op: 'touch', storage: 'fillfactor = 70' },
  'scale-factor': { name: 'touch, autovacuum_vacuum_scale_factor 0.02', op: 'touch', storage: 'autovacuum_vacuum_scale_factor = 0.02' },
  compression: {
    name: 'touch, wal_compression lz4 and max_wal_size 8GB',
    op: 'touch',
    server: { wal_compression: 'lz4', max_wal_size: '8GB' }
  },
  'get+set': { name: 'get+set, table as made', op: 'get+set' }
}

const longestSampleSeconds = 60
const fewestSamples = 4

/** How a table of PostgreSQL grows under writes at full load, with autovacuum as installed, and what they add to the write-ahead log. */
export async function measureWrites(plan, { open, server, kind, log, save }) {
  if (kind !== 'pg') throw new Error('writes: of PostgreSQL only')
  const sampleSeconds = Math.min(longestSampleSeconds, plan.writeSeconds / fewestSamples)
  const all = Math.round(plan.writeSeconds / sampleSeconds)
  const results = []
  for (const [index, load] of plan.loads.entries()) {
    // Each has a table of its own: a table that was dropped by somebody else would be made again only at the first statement.
    const tableName = `bench_growing_written_${index}`
    // The first one is measured for the whole time, to see whether the table stops growing; the others to compare with its first quarter.
    const samples = index === 0 ? all : Math.ceil(all / 4)
    const keep = (result) => save([...results, result])
    results.push(await measureLoad(plan, { ...loads[load], tableName, samples, sampleSeconds }, { open, server, log, keep }))
  }
}

async function measureLoad(plan, load, { open, server, log, keep }) {
  const { name, op, storage, server: serverSettings = {}, tableName, samples, sampleSeconds } = load
  const rows = plan.writtenRows
  const opened = await open(tableName)
  if (storage) await opened.knex.raw(`ALTER TABLE ${tableName} SET (${storage})`)
  await configure(opened, serverSettings)
  await fill(opened, 'pg', { tableName, rows, bytes: plan.bytes, log })
  await server.settle()
  const bench = makeBench(opened.store, idsOf(rows), plan.bytes)
  const before = await look(opened, tableName)
  const parts = []
  let result
  for (let sample = 0; sample < samples; sample++) {
    const last = parts.at(-1) ?? before
    const log0 = await logOf(opened)
    const { operations, perSecond, p99 } = await measure(bench, { op, callers: 64, seconds: sampleSeconds })
    const after = await look(opened, tableName)
    const log1 = await logOf(opened)
    const logBytes = log1.bytes - log0.bytes
    const pageImages = log1.images - log0.images
    const updates = after.updates - last.updates
    // The share of the updates of this sample alone; `hotRatio` is that of all so far.
    const hot = updates ? (after.hot - last.hot) / updates : 0
    parts.push({ operations, perSecond, p99, logBytes, pageImages, hotHere: hot, ...after })
    result = { name, rows, ...summary(before, parts), before, parts }
    log(
      `  ${Math.round((sample + 1) * sampleSeconds)} s: ${Math.round(perSecond)} a second, ${(after.sizes.total / 1e6).toFixed(0)} MB (table ${(after.sizes.table / 1e6).toFixed(0)}), ${after.dead} dead, ${after.autovacuums} autovacuums, HOT ${(hot * 100).toFixed(1)} %, ${Math.round(logBytes / operations)} bytes of log a call`
    )
    keep(result)
  }
  for (const setting of Object.keys(serverSettings)) await configure(opened, { [setting]: 'DEFAULT' })
  await opened.close()
  const last = parts.at(-1)
  log(
    `${name}: ${result.operations} calls, ${result.growth.toFixed(2)} times as large, HOT ${(last.hotRatio * 100).toFixed(1)} %, ${last.dead} dead, ${last.autovacuums} autovacuums, ${Math.round(result.logBytesACall)} bytes of log and ${result.pageImagesACall.toFixed(2)} page images a call`
  )
  return result
}

function summary(before, parts) {
  const sum = (field) => parts.reduce((total, part) => total + part[field], 0)
  const operations = sum('operations')
  return {
    operations,
    growth: parts.at(-1).sizes.total / before.sizes.total,
    logBytesACall: sum('logBytes') / operations,
    pageImagesACall: sum('pageImages') / operations
  }
}

async function configure({ knex }, settings) {
  for (const [name, value] of Object.entries(settings))
    await knex.raw(`ALTER SYSTEM SET ${name} = ${value === 'DEFAULT' ? value : `'${value}'`}`)
  await knex.raw('SELECT pg_reload_conf()')
}

async function look(opened, tableName) {
  // What a connection counts arrives when the connection has been idle for a moment.
  await new Promise((resolve) => setTimeout(resolve, 1500))
  const { rows } = await opened.knex.raw(
    `SELECT n_live_tup::float8 AS live, n_dead_tup::float8 AS dead, n_tup_upd::float8 AS updates, n_tup_hot_upd::float8 AS hot,
       autovacuum_count::int AS autovacuums FROM pg_stat_user_tables WHERE relid = ?::regclass`,
    [tableName]
  )
  const [counts] = rows
  return { sizes: await sizesOf(opened, 'pg', tableName), ...counts, hotRatio: counts.updates ? counts.hot / counts.updates : 0 }
}

/** What was written to the write-ahead log; after a checkpoint the first change of a page writes an image of the whole page. PostgreSQL 14 and newer. */
async function logOf({ knex }) {
  const { rows } = await knex.raw('SELECT wal_bytes::float8 AS bytes, wal_fpi::float8 AS images FROM pg_stat_wal')
  return rows[0]
}
