import { lifetimeMs, makeSession, seededRandom, sessionId } from '../session.mjs'
import { makeKnex } from '../stores/connections.mjs'
import { fill } from './fill.mjs'

const together = 64
/** Grows with every session that is set: no two are the same. */
let views = 100_000
/** PostgreSQL plans a prepared statement five times for its values, then perhaps once for all values. */
const rounds = 12

const settings = {
  session_preload_libraries: 'auto_explain',
  'auto_explain.log_min_duration': '0',
  'auto_explain.log_analyze': 'on',
  'auto_explain.log_buffers': 'on',
  'auto_explain.log_wal': 'on',
  'auto_explain.log_nested_statements': 'on',
  'auto_explain.log_level': 'notice',
  track_io_timing: 'on'
}

/**
 * The plans that PostgreSQL makes of the store's own statements, on a small table and on a large one, with statistics and without.
 * Refuses a plan that reads or sorts the whole large table.
 */
export async function measurePlans(plan, { open, server, kind, log, save }) {
  if (kind !== 'pg') throw new Error('plans: of PostgreSQL only')
  const results = []
  for (const rows of [plan.smallRows, plan.rows]) {
    const tableName = `bench_growing_plans_${rows}`
    const opened = await open(tableName)
    await fill(opened, kind, { tableName, rows, bytes: plan.bytes, log })
    await server.settle()
    for (const statistics of ['fresh', 'missing']) {
      if (statistics === 'missing') await forgetStatistics(opened.knex, tableName)
      const explained = await explainCalls(opened, {
        url: server.url,
        tableName,
        rows,
        bytes: plan.bytes,
        random: seededRandom(rows + results.length)
      })
      for (const { op, run, text } of explained) {
        results.push({ rows, statistics, op, run, ...totals(text), text })
        log(`\n--- ${op}, ${rows} rows, statistics ${statistics}, run ${run}\n${text}`)
      }
    }
    await opened.close()
    save(results)
  }
  const bad = results.filter(({ rows, text }) => rows === plan.rows && /Seq Scan|Sort|Bitmap/.test(text))
  if (bad.length > 0)
    throw new Error(`the whole table is read by: ${bad.map(({ op, statistics }) => `${op}, statistics ${statistics}`).join('; ')}`)
}

/** The first and the last plan of each call, of statements with the most rows. */
async function explainCalls({ store }, { url, tableName, rows, bytes, random }) {
  const admin = makeKnex('pg', url)
  for (const [name, value] of Object.entries(settings)) await admin.raw(`ALTER DATABASE postgres SET ${name} = '${value}'`)
  const notices = []
  const knex = makeKnex('pg', url, undefined, (connection) => connection.on('notice', ({ message }) => notices.push(message)))
  const explained = new store.constructor({ knex, tableName, touchAfterMs: 0, pruneIntervalMs: false })
  try {
    await explained.ready()
    const found = []
    const collect = async (op, work) => {
      const texts = []
      for (let round = 0; round < rounds; round++) {
        notices.length = 0
        await work(Array.from({ length: together }, () => sessionId(Math.floor(random() * rows))))
        // A notice may arrive after the response that it belongs to has been handled.
        await new Promise((resolve) => setTimeout(resolve, 20))
        const plans = notices.filter((text) => text.includes(tableName) && !/regclass|pg_class/.test(text))
        const widest = plans.sort((a, b) => rowsOf(b) - rowsOf(a))[0]
        if (widest) texts.push(brief(widest))
      }
      if (texts.length === 0) throw new Error(`${op}: no plan arrived`)
      found.push({ op, run: 1, text: texts[0] }, { op, run: texts.length, text: texts.at(-1) })
    }
    const sessions = Array.from({ length: together }, (_, index) => makeSession(bytes, index + 1))
    const expire = (session) => Object.assign(session.cookie, { expires: new Date(Date.now() + lifetimeMs) })
    await collect('touch', (ids) =>
      all(ids, (id, index) => {
        expire(sessions[index])
        return call(explained, 'touch', id, sessions[index])
      })
    )
    await collect('get', (ids) => all(ids, (id) => call(explained, 'get', id)))
    await collect('set of a loaded session', async (ids) => {
      const loaded = await all(ids, async (id) =>
        explained.createSession({ sessionID: id, sessionStore: explained }, await call(explained, 'get', id))
      )
      notices.length = 0
      await all(ids, (id, index) => {
        loaded[index].views = ++views
        return call(explained, 'set', id, loaded[index].touch())
      })
    })
    return found
  } finally {
    await explained.close()
    await knex.destroy()
    for (const name of Object.keys(settings)) await admin.raw(`ALTER DATABASE postgres RESET ${name}`)
    await admin.destroy()
  }
}

/** As on a table that was filled and never analysed. */
async function forgetStatistics(knex, tableName) {
  await knex.raw(`ALTER TABLE ?? SET (autovacuum_enabled = off)`, [tableName])
  await knex.raw('DELETE FROM pg_statistic WHERE starelid = ?::regclass', [tableName])
  await knex.raw('UPDATE pg_class SET reltuples = -1, relpages = 0 WHERE oid = ?::regclass', [tableName])
}

const rowsOf = (text) => Number(/ProjectSet.*rows=(\d+) loops/.exec(text)?.[1] ?? 0)

/** Without the query, its values and the target list. */
function brief(text) {
  const from = text.search(/^(Update|Nested|Insert|Hash|Merge|Delete|Index|Gather|Sort|Result|ProjectSet)/m)
  const lines = text.slice(from).split('\n')
  const short = lines.map((line) => (line.length > 200 ? `${line.slice(0, 200)} …` : line))
  return [text.match(/^duration: [\d.]+ ms/)?.[0], ...short].join('\n')
}

/** The counts of the uppermost line of the plan, which has those of all below it. */
function totals(text) {
  const buffers = /Buffers: shared(.*)/.exec(text)?.[1] ?? ''
  const number = (source, field) => Number(new RegExp(`${field}=(\\d+)`).exec(source)?.[1] ?? 0)
  const wal = /WAL: (.*)/.exec(text)?.[1] ?? ''
  return {
    ms: Number(/duration: ([\d.]+)/.exec(text)?.[1]),
    given: rowsOf(text),
    buffers: {
      hit: number(buffers, 'hit'),
      read: number(buffers, 'read'),
      dirtied: number(buffers, 'dirtied'),
      written: number(buffers, 'written')
    },
    wal: { records: number(wal, 'records'), images: number(wal, 'fpi'), bytes: number(wal, 'bytes') }
  }
}

const all = (ids, work) => Promise.all(ids.map(work))

function call(store, method, ...args) {
  return new Promise((resolve, reject) => store[method](...args, (error, result) => (error ? reject(error) : resolve(result))))
}
