import { createRequire } from 'node:module'
import betterSqlite3Store from 'better-sqlite3-session-store'
import pgSimple from 'connect-pg-simple'
import { ConnectSessionKnexStore } from 'connect-session-knex'
import session from 'express-session'
import type { DatabaseName, OpenDatabase } from '../support/databases'

/** A table of another make with one session in it. */
export interface ForeignTable extends AsyncDisposable {
  /** Fails if the session is not there as it was, asked for in the way of its maker. */
  check(): Promise<void>
}

export interface Maker {
  make(opened: OpenDatabase, tableName: string): Promise<ForeignTable>
  /** What the error says of the table. */
  readonly message: string
}

const SESSION = { cookie: { originalMaxAge: 3_600_000, maxAge: 3_600_000 }, user: 'ada' }

/** Lets a store of another package make its table, and puts a session into it. */
async function byStore(
  store: session.Store,
  { knex }: OpenDatabase,
  tableName: string,
  close: () => unknown = () => undefined
): Promise<ForeignTable> {
  const call = (run: (done: (error?: unknown, value?: unknown) => void) => unknown) =>
    new Promise<unknown>((resolve, reject) => {
      run((error, value) => (error ? reject(error) : resolve(value)))
    })
  await call((done) => store.set('a session', SESSION as never, done))
  return {
    async check() {
      const found = (await call((done) => store.get('a session', done as never))) as { user?: string } | null
      if (found?.user !== 'ada') throw new Error(`the foreign session is ${JSON.stringify(found)}`)
    },
    async [Symbol.asyncDispose]() {
      await close()
      await knex.schema.dropTable(tableName)
    }
  }
}

/** Makes the table by SQL, as its maker does. `??` is its name. */
function bySql(sql: string, row: object): Maker['make'] {
  return async (opened, tableName) => {
    await opened.knex.raw(sql, [tableName])
    return inserted(opened, tableName, row)
  }
}

const ofKnex: Maker = {
  message: 'it looks like the table of connect-session-knex',
  make: (opened, tableName) => {
    return byStore(new ConnectSessionKnexStore({ knex: opened.knex, tableName, cleanupInterval: 0 }), opened, tableName)
  }
}

const ofPgSimple: Maker = {
  message: 'it looks like the table of connect-pg-simple',
  make(opened, tableName) {
    const { Pool } = createRequire(__filename)('pg')
    const pool = new Pool({ connectionString: opened.url, max: 1 })
    const store = new (pgSimple(session))({ pool, tableName, createTableIfMissing: true, pruneSessionInterval: false })
    return byStore(store, opened, tableName, () => pool.end())
  }
}

const ofBetterSqlite3: Maker = {
  message: 'it looks like the table of connect-pg-simple or better-sqlite3-session-store',
  async make(opened, tableName) {
    const { knex } = opened
    const connection = await knex.client.acquireConnection()
    await knex.client.releaseConnection(connection)
    // It calls its table sessions, and nothing else.
    const client = new Proxy(connection, {
      get(target, key) {
        const value = target[key]
        if (typeof value !== 'function') return value
        return (...args: unknown[]) =>
          value.apply(
            target,
            args.map((arg) => (typeof arg === 'string' ? arg.replaceAll(/\bsessions\b/g, tableName) : arg))
          )
      }
    })
    const intervals: NodeJS.Timeout[] = []
    const { setInterval } = globalThis
    globalThis.setInterval = ((...args: Parameters<typeof setInterval>) => {
      const timer = setInterval(...args)
      intervals.push(timer)
      return timer
    }) as never
    try {
      return await byStore(new (betterSqlite3Store(session))({ client }), opened, tableName, () => intervals.forEach(clearInterval))
    } finally {
      globalThis.setInterval = setInterval
    }
  }
}

const ofExpressMysql: Maker = {
  message: 'it looks like the table of express-mysql-session',
  make: bySql(
    `CREATE TABLE ?? (session_id varchar(128) COLLATE utf8mb4_bin NOT NULL, expires int(11) unsigned NOT NULL,
       data mediumtext COLLATE utf8mb4_bin, PRIMARY KEY (session_id)) ENGINE=InnoDB`,
    { session_id: 'a session', expires: 1, data: '{}' }
  )
}

const ofSequelize: Maker = {
  message: 'it looks like the table of connect-session-sequelize',
  make: async (opened, tableName) => {
    await opened.knex.schema.createTable(tableName, (table) => {
      table.string('sid', 36).primary()
      table.datetime('expires')
      table.text('data')
      table.datetime('createdAt').notNullable()
      table.datetime('updatedAt').notNullable()
    })
    return inserted(opened, tableName, { sid: 'a session', data: '{}' }, 'createdAt', 'updatedAt')
  }
}

const ofGhost: Maker = {
  message: 'it looks like the table of Ghost',
  make: async (opened, tableName) => {
    await opened.knex.schema.createTable(tableName, (table) => {
      table.string('id', 24).primary()
      table
        .string('session_id', 32)
        .notNullable()
        .unique({ indexName: `${tableName}_unique` })
      table.string('user_id', 24).notNullable()
      table.string('session_data', 2000).notNullable()
      table.dateTime('created_at').notNullable()
      table.dateTime('updated_at').nullable()
    })
    return inserted(opened, tableName, { id: 'a', session_id: 'a session', user_id: 'ada', session_data: '{}' }, 'created_at')
  }
}

/** The session manager scs, for Go: many applications in one database have a table of this name. */
const ofScs: Maker = {
  message: 'it lacks the columns',
  make: async (opened, tableName) => {
    await opened.knex.schema.createTable(tableName, (table) => {
      table.string('token', 43).primary()
      table.binary('data').notNullable()
      table.timestamp('expiry').notNullable().index()
    })
    return inserted(opened, tableName, { token: 'a session' }, 'expiry')
  }
}

/** Most of our names, and types of its own, as applications with an ORM have it. */
const ofApplication: Maker = {
  message: 'its column expires_at has the type',
  make: async (opened, tableName) => {
    await opened.knex.schema.createTable(tableName, (table) => {
      table.string('id').primary()
      table.integer('user_id').notNullable()
      table.text('data')
      table.timestamp('expires_at').notNullable()
      table.timestamp('created_at').defaultTo(opened.knex.fn.now())
    })
    return inserted(opened, tableName, { id: 'a session', user_id: 7 }, 'expires_at')
  }
}

async function inserted({ knex }: OpenDatabase, tableName: string, row: object, ...moments: string[]): Promise<ForeignTable> {
  const at = Object.fromEntries(moments.map((name) => [name, new Date(1_000_000_000_000)]))
  await knex(tableName).insert({ ...row, ...at, ...('token' in row && { data: Buffer.from('a') }) })
  return {
    async check() {
      if ((await knex(tableName).where(row).select()).length !== 1) throw new Error('the row is not there as it was')
    },
    async [Symbol.asyncDispose]() {
      await knex.schema.dropTable(tableName)
    }
  }
}

const EVERYWHERE = {
  'connect-session-knex': ofKnex,
  'connect-session-sequelize': ofSequelize,
  Ghost: ofGhost,
  scs: ofScs,
  'an application': ofApplication
}

export const MAKERS: Partial<Record<DatabaseName, Record<string, Maker>>> = {
  postgres: { ...EVERYWHERE, 'connect-pg-simple': ofPgSimple },
  mysql: { ...EVERYWHERE, 'express-mysql-session': ofExpressMysql },
  sqlite: { ...EVERYWHERE, 'better-sqlite3-session-store': ofBetterSqlite3 }
}

/** Lets a maker make its table. */
export function makeTable(maker: 'connect-session-knex', opened: OpenDatabase, tableName: string): Promise<ForeignTable> {
  return EVERYWHERE[maker].make(opened, tableName)
}
