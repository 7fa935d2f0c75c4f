import { inTwos, startChild } from '../child.mjs'
import { summarize } from '../report/summary.mjs'

const sessions = 10_000

/** The applications, each with the defaults of its store; ours once more with every touch written, to compare like with like. */
function applications(stores, full) {
  const kinds = full ? ['pg', 'mysql', 'redis', 'sqlite'] : ['pg', 'redis']
  const measured = stores.filter((store) => kinds.includes(store.server) && !store.name.includes('raw'))
  const apps = measured.map((store) => ({ name: store.name, store, options: {} }))
  const touching = measured
    .filter((store) => store.name.startsWith('ours-') && full)
    .map((store) => ({ name: `${store.name}, touchAfterMs 0`, store, options: { touchAfterMs: 0, tableName: 'bench_ours_touching' } }))
  return [{ name: 'no sessions', store: undefined, options: {} }, ...apps, ...touching]
}

export async function runHttp(plan, stores, servers, { progress }) {
  const { connections, httpRounds, httpSeconds } = plan
  const children = []
  const start = (file) => {
    const child = startChild(file, { env: { NODE_ENV: 'production' } })
    children.push(child)
    return child
  }
  try {
    const load = start('./http/load.mjs')
    const apps = []
    // Two at a time: filling a table waits for the disk as much as it computes.
    const wanted = applications(stores, plan.full)
    await inTwos(wanted, async (app) => {
      progress(`over HTTP: ${app.name} starts`)
      const child = start('./http/app.mjs')
      const context = { url: servers[app.store?.server]?.url, directory: servers.directory, options: app.options }
      const port = await child.ask('open', { store: app.store?.name, context, rows: sessions, payload: '2KB' }).catch((error) => {
        progress('')
        console.log(`left out: ${app.name} over HTTP (${error.message.split('\n')[0]})`)
      })
      if (port !== undefined) apps.push({ ...app, child, port, rounds: [], statements: 0 })
    })
    apps.sort((a, b) => wanted.findIndex(({ name }) => name === a.name) - wanted.findIndex(({ name }) => name === b.name))
    await servers.pg?.settle?.()
    for (const app of apps) await load.ask('run', { port: app.port, connections, sessions, seconds: 1 })
    for (let round = 0; round < httpRounds; round++) {
      for (let turn = 0; turn < apps.length; turn++) {
        const app = apps[(turn + round) % apps.length]
        progress(`over HTTP: ${app.name}, round ${round + 1} of ${httpRounds}`)
        await runRound(app, load, servers[app.store?.server], { connections, sessions, seconds: httpSeconds })
      }
    }
    for (const app of apps) await app.child.ask('close')
    return { connections, payload: '2KB', rows: sessions, apps: Object.fromEntries(apps.map((app) => [app.name, describe(app)])) }
  } finally {
    await Promise.all(children.map((child) => child.stop()))
  }
}

async function runRound(app, load, server, input) {
  const before = await readings(app, server)
  const sample = await load.ask('run', { port: app.port, ...input })
  const after = await readings(app, server)
  app.statements = after.statements === null ? null : app.statements + after.statements - before.statements
  app.rounds.push({
    ...sample,
    nodeCpu: (after.nodeMicros - before.nodeMicros) / sample.operations,
    serverCpuMs: after.serverMs === null ? null : after.serverMs - before.serverMs
  })
}

async function readings(app, server) {
  return {
    nodeMicros: await app.child.ask('cpuMicros'),
    serverMs: server?.cpuMs?.() ?? null,
    statements: (await server?.statements?.()) ?? null
  }
}

function describe({ rounds, statements }) {
  const requests = rounds.reduce((sum, round) => sum + round.operations, 0)
  return { ...summarize(rounds), statements: statements === null ? null : Number((statements / requests).toFixed(3)) }
}
