import { makeBench, measure, warmUpOnce } from '../measure.mjs'
import { fill } from './fill.mjs'
import { idsOf } from './ids.mjs'

const cell = { op: 'touch', callers: 64 }

/**
 * Of what the cost of a touch is made up on PostgreSQL. The first touch of a session in an hour changes all indexes, and a page that has not
 * changed since the last checkpoint goes to the log as a whole. On a small table neither is seen, because each row is touched again and
 * again. Here they are measured alone.
 */
export async function measureCauses(plan, { open, server, kind, log, save }) {
  if (kind !== 'pg') throw new Error('causes: of PostgreSQL only')
  const results = []
  for (const rows of [plan.smallRows, plan.rows]) {
    for (const isFirst of [false, true]) {
      const tableName = `bench_growing_causes_${rows}_${Number(isFirst)}`
      const opened = await open(tableName)
      await fill(opened, kind, { tableName, rows, bytes: plan.bytes, endsWithTouches: !isFirst, log })
      const bench = makeBench(opened.store, idsOf(rows), plan.bytes)
      // The first touches of a small table are over before anything is measured.
      if (!isFirst || rows === plan.rows) {
        for (const images of ['on', 'off']) {
          await configure(opened.knex, 'full_page_writes', images)
          await server.settle()
          const result = { rows, isFirst, images, ...(await measureTouches(plan, opened, bench, server)) }
          results.push(result)
          log(
            `${rows} rows, ${isFirst ? 'first' : 'later'} touches in the hour, page images ${images}: server ${result.serverCpu.toFixed(1)} µs, Node ${result.nodeCpu.toFixed(1)} µs a call, ${result.logBytes.toFixed(0)} bytes of log and ${result.pageImages.toFixed(2)} page images a call, HOT ${(result.hot * 100).toFixed(1)} %`
          )
        }
        await configure(opened.knex, 'full_page_writes', 'on')
      }
      await opened.close()
    }
  }
  save(results)
}

async function measureTouches(plan, { knex }, bench, server) {
  await warmUpOnce(bench, { ...cell, seconds: plan.warmUpSeconds })
  const before = await countsOf(knex)
  const cpuBefore = server.cpuMs()
  const { operations, nodeCpu } = await measure(bench, { ...cell, seconds: plan.seconds * plan.rounds })
  const serverCpu = ((server.cpuMs() - cpuBefore) * 1000) / operations
  // What a connection counts arrives when the connection has been idle for a moment.
  await new Promise((resolve) => setTimeout(resolve, 1500))
  const after = await countsOf(knex)
  const added = (field) => after[field] - before[field]
  return {
    operations,
    nodeCpu,
    serverCpu,
    logBytes: added('bytes') / operations,
    pageImages: added('images') / operations,
    hot: added('hot') / added('updates')
  }
}

async function countsOf(knex) {
  const { rows } = await knex.raw(
    `SELECT wal_bytes::float8 AS bytes, wal_fpi::float8 AS images,
       (SELECT sum(n_tup_upd)::float8 FROM pg_stat_user_tables) AS updates, (SELECT sum(n_tup_hot_upd)::float8 FROM pg_stat_user_tables) AS hot
     FROM pg_stat_wal`
  )
  return rows[0]
}

async function configure(knex, name, value) {
  await knex.raw(`ALTER SYSTEM SET ${name} = ${value}`)
  await knex.raw('SELECT pg_reload_conf()')
}
