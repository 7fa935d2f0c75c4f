// Panels 3 and 5: the load, what is done to the database under it, and the statements that it takes.
import { Router } from 'express'
import { storedIdOf } from 'knex-session-store'
import { TABLES } from '../database.mjs'
import { Refusal } from '../guards.mjs'
import { Load } from '../load.mjs'

const SAMPLE_MS = 400
const LOCK_MS = 3_000
/** A load ends by itself, so that a page that was forgotten does not keep a processor busy. */
const LOAD_MS = 20_000

export function loadPanel({ database, live, shops }) {
  const loads = { ours: new Load(shops.ours), peer: new Load(shops.peer) }
  let fault
  let number = 0
  let endsAt = 0
  let sampling

  function start(names) {
    endsAt = Date.now() + LOAD_MS
    if (!loads.ours.isRunning) fault = undefined
    for (const name of names) loads[name].start()
    sampling ??= setInterval(sample, SAMPLE_MS)
  }

  async function stop() {
    clearInterval(sampling)
    sampling = undefined
    await Promise.all(Object.values(loads).map((load) => load.stop()))
    publish()
  }

  function sample() {
    publish()
    if (Date.now() > endsAt || !live.hasListeners) stop()
  }

  function publish() {
    const state = (load) => ({ isRunning: load.isRunning, total: load.total, recent: load.take() })
    live.publish('load', { ours: state(loads.ours), peer: state(loads.peer), fault })
  }

  /** Under load, and counted from its beginning. */
  async function cause(kind, work) {
    const isCold = !loads.ours.isRunning
    start(['ours'])
    if (isCold) await new Promise((resolve) => setTimeout(resolve, 3 * SAMPLE_MS))
    // The last of the fault before.
    publish()
    fault = { number: ++number, kind, counts: loads.ours.beginFault(), isOver: false }
    const current = fault
    current.detail = await work()
    current.isOver = true
  }

  const faults = {
    'drop-table': async () => void (await database.knex.schema.dropTableIfExists(TABLES.visitors)),
    'end-connections': () => database.endConnections(),
    async 'lock-row'() {
      if (database.lockFile !== undefined) return database.lockFile(LOCK_MS)
      const visitor = loads.ours.chooseVisitor()
      if (visitor === undefined) throw new Refusal(409, 'No visitor is signed in at the moment. Try again.')
      await database.lockRow(TABLES.visitors, storedIdOf(visitor.sessionId), LOCK_MS).finally(() => loads.ours.releaseVisitor())
    }
  }

  const routes = Router()
  routes.post('/load/start', (req, res) => {
    start(req.body?.withPeer ? ['ours', 'peer'] : ['ours'])
    res.json({})
  })
  routes.post('/load/stop', async (_req, res) => {
    await stop()
    res.json({})
  })
  routes.post('/faults/:kind', async (req, res) => {
    const { kind } = req.params
    if (!Object.hasOwn(faults, kind)) throw new Refusal(404, 'There is no such fault.')
    if (database.cannot[kind] !== undefined) throw new Refusal(409, database.cannot[kind])
    await cause(kind, faults[kind])
    res.json({})
  })
  return { routes, close: stop }
}
