// A process of the site: Express on a store, and what the runner asks of it by messages. Nothing here listens for unhandled errors: what
// would end a user's process ends this one.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import express from 'express'
import session, { type Session, type Store } from 'express-session'
import { CallWatch } from './call-watch.mts'
import { type Contender, openStore, POOL_MAX } from './stores.mts'

type ChaosSession = Session & { user?: string; [key: string]: unknown }

/** What the runner may ask, and what it gets. */
export interface Orders {
  /** What is in the store of these sessions. */
  read(sids: readonly string[]): Promise<(StoredSession | null)[]>
  calls(): { waiting: number; twice: number }
  serverErrors(): Record<string, number>
  holdPool(): Promise<void>
  releasePool(): void
  /** The clock of the process goes by so many milliseconds from the true time. */
  stepClock(ms: number): void
  close(): Promise<void>
}

export interface StoredSession {
  readonly user: string | undefined
  readonly values: Record<string, number>
  readonly expiresAt: number
}

const [contender] = (await once(process, 'message')) as [Contender]
const opened = await openStore(contender)
const { store } = opened
const watch = new CallWatch(store)

const app = express()
app.use(session({ store, secret: 'chaos', resave: false, saveUninitialized: false, cookie: { maxAge: 86_400_000 } }))

app.get('/login', async (request, response) => {
  const visitor = request.session as ChaosSession
  visitor.user = String(request.query.user)
  // Random, for servers that compress.
  if (contender.ballastBytes) visitor.ballast = randomBytes(contender.ballastBytes / 2).toString('hex')
  await save(visitor)
  response.json({ sid: request.sessionID })
})

app.get('/me', (request, response) => {
  response.json(describe(request.session as ChaosSession))
})

app.get('/set', async (request, response) => {
  const visitor = request.session as ChaosSession
  if (visitor.user !== request.query.user) return void response.status(409).json(describe(visitor))
  if (request.query.workMs) await sleep(Number(request.query.workMs))
  visitor[String(request.query.key)] = Number(request.query.value)
  await save(visitor)
  response.json(describe(visitor))
})

app.get('/touch', async (request, response) => {
  const visitor = request.session as ChaosSession
  if (visitor.user !== request.query.user) return void response.status(409).json(describe(visitor))
  visitor.touch()
  await call<void>((done) => store.touch?.(request.sessionID, visitor, done as () => void))
  response.json(describe(visitor))
})

app.get('/logout', async (request, response) => {
  await call<void>((done) => request.session.destroy(done))
  response.json(null)
})

// Express's own prints each error, and cuts the connection where the head has been sent. But express-session reports the error of a touch after
// it has ended the response, and by then the next request may be on that connection.
app.use(((error, _request, response, _next) => {
  if (!response.headersSent)
    response.status(500).json({ error: error?.code ?? error?.name, cause: error?.driverCode ?? error?.cause?.code })
}) satisfies express.ErrorRequestHandler)

let clockStepMs = 0
const TrueDate = Date
/** What a set clock of the machine does to a process; timers go on as before, as they do then. */
globalThis.Date = class extends TrueDate {
  constructor(...given: unknown[]) {
    super(...((given.length === 0 ? [TrueDate.now() + clockStepMs] : given) as [number]))
  }

  static override now(): number {
    return TrueDate.now() + clockStepMs
  }
} as DateConstructor

const held: (() => void)[] = []
const orders: Orders = {
  read: (sids) => Promise.all(sids.map((sid) => read(store, sid))),
  calls: () => ({ waiting: watch.waiting, twice: watch.twice }),
  serverErrors: () => Object.fromEntries(opened.serverErrors),
  async holdPool() {
    if (!opened.holdConnection) return
    const { holdConnection } = opened
    held.push(...(await Promise.all(Array.from({ length: POOL_MAX }, () => holdConnection()))))
  },
  releasePool() {
    for (const release of held.splice(0)) release()
  },
  stepClock(ms) {
    clockStepMs = ms
  },
  close: () => opened.close()
}

function save(visitor: Session): Promise<void> {
  return call((done) => visitor.save(done))
}

function call<Result>(work: (done: (error?: unknown, result?: Result) => void) => void): Promise<Result> {
  return new Promise((resolve, reject) => work((error, result) => (error ? reject(error) : resolve(result as Result))))
}

function describe({ user, cookie, ...rest }: ChaosSession | Record<string, unknown>): StoredSession {
  const values = Object.fromEntries(Object.entries(rest).filter(([, value]) => typeof value === 'number')) as Record<string, number>
  const expires = (cookie as { expires?: Date | string | null } | undefined)?.expires
  return { user: user as string | undefined, values, expiresAt: expires ? new Date(expires).getTime() : 0 }
}

/** After an outage a call may fail once more: that is no loss yet. */
async function read(from: Store, sid: string): Promise<StoredSession | null> {
  for (let attempt = 1; ; attempt++) {
    try {
      const found = await call<unknown>((done) => from.get(sid, done as never))
      return found ? describe(found as Record<string, unknown>) : null
    } catch (error) {
      if (attempt === 10) throw error
      await sleep(200)
    }
  }
}

process.on('message', async ({ id, order, argument }: { id: number; order: keyof Orders; argument: never }) => {
  try {
    process.send?.({ id, result: await orders[order](argument) })
  } catch (error) {
    process.send?.({ id, error: String(error) })
  }
})
// The runner is gone, however it ended.
process.on('disconnect', () => process.exit())

// An idle connection stays open: one that is closed as a visitor sends on it would look like an error of the site.
const server = createServer({ keepAliveTimeout: 0 }, app).listen(0, '127.0.0.1')
await once(server, 'listening')
process.send?.({ serving: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
