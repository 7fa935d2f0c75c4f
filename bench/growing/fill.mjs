import { hashedId, lifetimeMs, makeSession, sessionId } from '../session.mjs'
import { sqliteDatabase } from '../stores/connections.mjs'
import { storedIds } from '../stores/ours.mjs'

const hourMs = 3_600_000
const minutesOfSpread = 23 * 60
const firstUser = 1_000_000
/** Rows of one statement. InnoDB keeps an undo record of each row of a transaction until it ends. */
const partRows = { pg: 250_000, mysql: 50_000, sqlite: 100_000 }
const tellEveryMs = 10_000
const columns = 'id, data, expires_at, expires_hour, revision, owner_id, created_at, last_seen_at'

/** The option `owner` of a store that is filled here. */
export const ownerOf = (session) => session.user

/** The user of a session, by its number. About three sessions have the same user, far apart in the table. */
export const userAt = (index, rows) => firstUser + (index % usersOf(rows))

const usersOf = (rows) => Math.ceil(rows / 3)

/**
 * Puts rows in by SQL. Sessions that have ended did so one to 24 hours ago, the others end in one to 24 hours. Those that have
 * ended lie between the others, because ids and pages are in no order of time: every so many rows one is alive. With `endsWithTouches` all
 * end in the hour in which a session ends that is touched now.
 */
export async function fill({ knex, file }, server, { tableName, rows, bytes, liveEvery = 1, endsWithTouches = false, log = () => {} }) {
  // The user has as many digits in each row, so each row is as large.
  const session = makeSession(bytes)
  session.pad = session.pad.slice(String(firstUser).length - String(session.user).length)
  session.user = firstUser
  const now = Date.now()
  const plan = {
    tableName,
    text: JSON.stringify(session),
    users: usersOf(rows),
    liveEvery,
    live: now + (endsWithTouches ? lifetimeMs : hourMs),
    ended: now - lifetimeMs,
    spread: endsWithTouches ? 1 : minutesOfSpread
  }
  const fillPart = { pg: fillPostgres, mysql: fillMysql, sqlite: fillFile }[server]
  const from = performance.now()
  let told = from
  for (let first = 0; first < rows; first += partRows[server]) {
    const end = Math.min(first + partRows[server], rows)
    await fillPart(server === 'sqlite' ? file : knex, { ...plan, first, end })
    if (performance.now() - told < tellEveryMs || end === rows) continue
    told = performance.now()
    log(`  ${end} of ${rows} rows of ${tableName} filled, ${Math.round((told - from) / 1000)} s`)
  }
  log(`${rows} rows of ${tableName} filled in ${Math.round((performance.now() - from) / 1000)} s`)
}

/** Whether the session of this number is alive in a table that was filled with `liveEvery`. */
export const isAlive = (index, liveEvery) => index % liveEvery === 0

function fillPostgres(knex, { tableName, text, users, liveEvery, live, ended, spread, first, end }) {
  return knex.raw(
    `INSERT INTO ?? (${columns})
     SELECT ${storedIds.pg}, replace(?, '"user":${firstUser}', '"user":' || owner), ends, (ends + ${hourMs - 1}) / ${hourMs}, 1, owner::text,
       ends - ${lifetimeMs}, ends - ${lifetimeMs}
     FROM (SELECT i, ${firstUser} + i % ?::int AS owner,
         CASE WHEN i % ?::int = 0 THEN ?::bigint ELSE ?::bigint END + (i % ?::int) * 60000 AS ends
       FROM generate_series(?::int, ?::int - 1) AS i) AS numbered`,
    [tableName, text, users, liveEvery, live, ended, spread, first, end]
  )
}

function fillMysql(knex, { tableName, text, users, liveEvery, live, ended, spread, first, end }) {
  return knex.raw(
    `INSERT INTO ?? (${columns})
     SELECT ${storedIds.mysql}, replace(?, '"user":${firstUser}', concat('"user":', owner)), ends, (ends + ${hourMs - 1}) DIV ${hourMs}, 1, owner,
       ends - ${lifetimeMs}, ends - ${lifetimeMs}
     FROM (SELECT seq, ${firstUser} + seq % ? AS owner, IF(seq % ? = 0, ?, ?) + (seq % ?) * 60000 AS ends
       FROM seq_${first}_to_${end - 1}) AS numbered`,
    [tableName, text, users, liveEvery, live, ended, spread]
  )
}

function fillFile(file, { tableName, text, users, liveEvery, live, ended, spread, first, end }) {
  const database = sqliteDatabase(file)
  const insert = database.prepare(`INSERT INTO ${tableName} (${columns}) VALUES (?, ?, ?, ?, 1, ?, ?, ?)`)
  database.transaction(() => {
    for (let index = first; index < end; index++) {
      const owner = String(firstUser + (index % users))
      const ends = (isAlive(index, liveEvery) ? live : ended) + (index % spread) * 60_000
      const data = text.replace(`"user":${firstUser}`, `"user":${owner}`)
      insert.run(hashedId(sessionId(index)), data, ends, Math.ceil(ends / hourMs), owner, ends - lifetimeMs, ends - lifetimeMs)
    }
  })()
  database.pragma('wal_checkpoint(TRUNCATE)')
  database.close()
}
