// What a large table costs against a small one: npm run bench:growing -- --database postgres|mariadb|sqlite --rows 1000000
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { measureCalls } from './growing/calls.mjs'
import { measureCauses } from './growing/causes.mjs'
import { ownerOf } from './growing/fill.mjs'
import { measurePartitions } from './growing/partitions.mjs'
import { measurePlans } from './growing/plans.mjs'
import { measurePruning } from './growing/pruning.mjs'
import { checkRoom } from './growing/room.mjs'
import { loads, measureWrites } from './growing/writes.mjs'
import { describeMachine } from './machine.mjs'
import { startServers } from './servers/index.mjs'
import { payloads } from './session.mjs'
import { findStore } from './stores/index.mjs'

const kinds = { postgres: 'pg', mariadb: 'mysql', sqlite: 'sqlite' }
const parts = {
  calls: measureCalls,
  pruning: measurePruning,
  writes: measureWrites,
  plans: measurePlans,
  causes: measureCauses,
  partitions: measurePartitions
}
const { values } = parseArgs({
  options: {
    database: { type: 'string', default: 'postgres' },
    rows: { type: 'string', default: '1000000' },
    'pruned-rows': { type: 'string' },
    'written-rows': { type: 'string' },
    'write-seconds': { type: 'string', default: '180' },
    loads: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '0.6' },
    memory: { type: 'string', default: '512' },
    parts: { type: 'string' },
    name: { type: 'string' }
  }
})
const kind = kinds[values.database]
if (!kind) throw new Error(`--database: one of ${Object.keys(kinds).join(', ')}`)
const chosen = values.parts?.split(',') ?? (kind === 'pg' ? ['calls', 'pruning', 'writes'] : ['calls', 'pruning'])
for (const part of chosen) if (!parts[part]) throw new Error(`--parts: ${part} is none of ${Object.keys(parts).join(', ')}`)
const chosenLoads = values.loads?.split(',') ?? Object.keys(loads)
for (const load of chosenLoads) if (!loads[load]) throw new Error(`--loads: ${load} is none of ${Object.keys(loads).join(', ')}`)
const plan = {
  full: true,
  bytes: payloads['1KB'],
  smallRows: 10_000,
  rows: Number(values.rows),
  prunedRows: Number(values['pruned-rows'] ?? values.rows),
  writtenRows: Number(values['written-rows'] ?? values.rows),
  loads: chosenLoads,
  writeSeconds: Number(values['write-seconds']),
  rounds: Number(values.rounds),
  seconds: Number(values.seconds),
  warmUpSeconds: 2,
  calmSeconds: 20,
  memoryMb: Number(values.memory)
}

const servers = await startServers(new Set([kind]), plan)
try {
  const server = servers[kind]
  if (server?.missing) throw new Error(server.missing)
  const file = new URL(`./results/${values.name ?? `growing.${values.database}`}.json`, import.meta.url)
  const { date, commit, machine, node, servers: notes } = describeMachine(servers, plan)
  const header = { date, commit, machine, node, server: notes[kind], plan }
  const store = findStore(`ours-${kind}`)
  const open = (tableName, prepare) => openTable(store, server, tableName, prepare)
  const log = (line) => console.log(line)
  log(`${header.server}, ${machine.cores} cores ${machine.cpu}, fsync ${machine.fsyncMs} ms`)
  const isElsewhere = { pg: process.env.BENCH_PG_URL, mysql: process.env.BENCH_MYSQL_URL }[kind]
  if (!isElsewhere) log(checkRoom(servers.directory, kind, chosen, plan))
  for (const part of chosen) {
    const save = (measured) => {
      const others = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {}
      writeFileSync(file, `${JSON.stringify({ ...others, [part]: { ...header, measured } }, null, 1)}\n`)
    }
    await parts[part](plan, { open, server, kind, log, save })
  }
} finally {
  await servers.stop()
}

/** `prepare` changes the table that the store has made, before it is filled. */
async function openTable(store, server, tableName, prepare) {
  const options = { tableName, touchAfterMs: 0, owner: ownerOf }
  const opened = await store.open({ url: server?.url, directory: servers.directory, options })
  await opened.store.ready()
  await prepare?.(opened.knex, tableName)
  return opened
}
