import { makeBench } from '../measure.mjs'
import { measureCells, ownersOf } from './calls.mjs'
import { fill } from './fill.mjs'
import { idsOf } from './ids.mjs'
import { measurePruning } from './pruning.mjs'
import { sizesOf } from './sizes.mjs'

const modulus = 16

/** One table against sixteen partitions by a hash of the id, equally filled, in turns: calls, vacuum, pruning. PostgreSQL only. */
export async function measurePartitions(plan, { open, server, kind, log, save }) {
  if (kind !== 'pg') throw new Error('partitions: of PostgreSQL only')
  const { rows } = plan
  const tables = []
  for (const [layout, prepare] of Object.entries(preparations)) {
    const tableName = `bench_growing_${layout}`
    const opened = await open(tableName, prepare)
    await fill(opened, kind, { tableName, rows, bytes: plan.bytes, log })
    const bench = makeBench(opened.store, idsOf(rows), plan.bytes, ownersOf(opened.store, rows))
    tables.push({ layout, tableName, rows, opened, bench })
  }
  await server.settle()
  for (const table of tables) {
    table.sizes = await sizesOf(table.opened, kind, table.tableName)
    log(`${table.layout}: ${(table.sizes.total / rows).toFixed(0)} bytes a row`)
  }
  const cells = await measureCells(plan, tables, server, log)
  const vacuums = []
  for (const table of tables) {
    const vacuum = await measureVacuum(table, log)
    vacuums.push({ layout: table.layout, ...vacuum })
  }
  const layouts = tables.map(({ layout, sizes }) => ({ layout, sizes, bytesARow: sizes.total / rows }))
  for (const { opened } of tables) await opened.close()
  const pruning = {}
  for (const [layout, prepare] of Object.entries(preparations)) {
    log(`pruning, ${layout}:`)
    const keep = (measured) => (pruning[layout] = measured)
    const tableName = `bench_growing_prune_${layout}`
    await measurePruning(plan, { open: (name) => open(name, prepare), server, kind, log, save: keep, tableName })
  }
  save({ modulus, layouts, cells, vacuums, pruning })
}

/** What is done to the table that the store has made. */
const preparations = { plain: undefined, partitions: partition }

/** Puts a partitioned table in the place of the one that the store makes. It has the same columns and indexes. */
async function partition(knex, tableName) {
  await knex.raw('ALTER TABLE ?? RENAME TO ??', [tableName, `${tableName}_like`])
  await knex.raw('CREATE TABLE ?? (LIKE ?? INCLUDING ALL) PARTITION BY HASH (id)', [tableName, `${tableName}_like`])
  for (let remainder = 0; remainder < modulus; remainder++) {
    await knex.raw(`CREATE TABLE ?? PARTITION OF ?? FOR VALUES WITH (MODULUS ${modulus}, REMAINDER ${remainder}) WITH (fillfactor = 85)`, [
      `${tableName}_p${remainder}`,
      tableName
    ])
  }
  await knex.raw('DROP TABLE ??', [`${tableName}_like`])
}

/**
 * A quarter of the rows is changed without autovacuum, as by the first touch in an hour. Then each table or partition is vacuumed alone:
 * `longest` is how long one of them takes.
 */
async function measureVacuum({ layout, tableName, opened }, log) {
  const { knex } = opened
  const { rows: leaves } = await knex.raw(
    `SELECT ?::regclass::text AS name WHERE (SELECT relkind FROM pg_class WHERE oid = ?::regclass) = 'r'
     UNION ALL SELECT relid::regclass::text FROM pg_partition_tree(?::regclass) WHERE isleaf`,
    [tableName, tableName, tableName]
  )
  for (const { name } of leaves) await knex.raw('ALTER TABLE ?? SET (autovacuum_enabled = off)', [name])
  for (const { name } of leaves) await knex.raw('VACUUM ??', [name])
  const { rowCount } = await knex.raw(
    `UPDATE ?? SET expires_at = expires_at + 3600000, expires_hour = expires_hour + 1 WHERE hashtext(id) % 4 = 0`,
    [tableName]
  )
  const seconds = []
  for (const { name } of leaves) {
    const from = performance.now()
    await knex.raw('VACUUM ??', [name])
    seconds.push((performance.now() - from) / 1000)
  }
  const total = seconds.reduce((sum, part) => sum + part, 0)
  const longest = Math.max(...seconds)
  log(`${layout}: vacuum after ${rowCount} rows moved to another hour ${total.toFixed(2)} s, longest of one table ${longest.toFixed(2)} s`)
  return { updated: rowCount, total, longest, seconds }
}
