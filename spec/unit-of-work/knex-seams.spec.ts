import { createRequire } from 'node:module'
import knexOfNow, { type Knex } from 'knex'
import { describe, expect, it, vi } from 'vitest'
import { KnexSessionStore } from '../../lib'
import { clientOf, type KnexClient, type KnexStatement } from '../../lib/knex/knex-client'
import { RollbackOnlyError, UndoneByNestedError, UnitEndedError, unitOfWork } from '../../lib/unit-of-work'
import { describeDatabases, type OpenDatabase } from '../support/databases'
import { PATIENT } from '../support/patience'
import { createNames, namesIn, usedConnections } from './names'

const load = createRequire(__filename)

type MakeKnex = (config: Knex.Config) => Knex

/** The oldest and the newest Knex that are claimed, and what stands between; by the name of the devDependency. */
const VERSIONS = ['knex24', 'knex25', 'knex30', 'knex']

function versionOf(name: string): { readonly version: string; readonly make: MakeKnex } | undefined {
  if (name === 'knex') return { version: load('knex/package.json').version, make: knexOfNow }
  try {
    return { version: load(`${name}/package.json`).version, make: load(name) }
  } catch {
    return undefined
  }
}

describeDatabases('the seams of Knex', (database) => {
  for (const name of VERSIONS) {
    const found = versionOf(name)
    if (found === undefined) {
      it.skip(`skipped: ${name} is not installed (npm install --save-dev ${name}@npm:knex)`)
      continue
    }
    describe(`Knex ${found.version}`, () => {
      const withKnex = async (use: (knex: Knex, opened: OpenDatabase) => Promise<void>) => {
        await using opened = await database.open()
        const knex = found.make(opened.config)
        try {
          await createNames(knex)
          await use(knex, opened)
        } finally {
          await knex.destroy()
        }
      }
      seams(withKnex)
      scenarios(withKnex, found.make)
    })
  }
})

type WithKnex = (use: (knex: Knex, opened: OpenDatabase) => Promise<void>) => Promise<void>

/** What Knex itself does at each place where a unit of work puts something of its own. */
function seams(withKnex: WithKnex): void {
  it('runner: an awaited builder asks its client for one, and runs by it', () =>
    withKnex(async (knex) => {
      const calls: unknown[] = []
      const client = Object.create(clientOf(knex)) as KnexClient
      client.runner = (builder) => {
        calls.push(['runner', (builder as { client: unknown }).client === client])
        return clientOf(knex).runner(builder)
      }
      const builder = knex('names').insert({ name: 'ada' })
      Object.defineProperty(builder, 'client', { value: client, writable: true })
      expect(calls).toEqual([])
      await builder
      expect(calls).toEqual([['runner', true]])
      expect(await namesIn(knex)).toEqual(['ada'])
    }))

  it('acquireConnection, query, releaseConnection: each statement once, in this order, on that connection', () =>
    withKnex(async (knex) => {
      const calls: unknown[] = []
      const client = watched(knex, calls)
      await runOn(client, knex('names').insert({ name: 'ada' }))
      await runOn(client, knex('names').select('name'))
      await expect(runOn(client, knex('no_such_table'))).rejects.toThrow()
      const each = (method: string) => ['acquire', ['query', method, true], ['release', true]]
      expect(calls).toEqual([...each('insert'), ...each('select'), ...each('select')])
    }))

  it('stream: with the connection that was acquired, the statement and the stream of rows', () =>
    withKnex(async (knex) => {
      await knex('names').insert([{ name: 'ada' }, { name: 'ben' }])
      const calls: unknown[] = []
      const client = watched(knex, calls)
      const rows: unknown[] = []
      const builder = Object.create(knex('names').orderBy('name').select('name'), { client: { value: client, writable: true } })
      for await (const row of client.runner(builder).stream() as unknown as AsyncIterable<unknown>) rows.push(row)
      expect(rows).toEqual([{ name: 'ada' }, { name: 'ben' }])
      // Given back twice, which the pool does not mind.
      expect(calls.slice(0, 3)).toEqual(['acquire', ['stream', 'select', true], ['release', true]])
    }))

  it('transaction: begins, gives the function its transaction, ends, and gives the connection back', () =>
    withKnex(async (knex) => {
      const calls: unknown[] = []
      const client = watched(knex, calls)
      const outcome = await client.transaction(async (trx) => {
        calls.push('function')
        await trx('names').insert({ name: 'ada' })
        expect(clientOf(trx).transacting).toBe(true)
        expect(await clientOf(trx).acquireConnection()).toBe(await clientOf(trx).acquireConnection())
        return 'done'
      })
      expect(outcome).toBe('done')
      expect(calls).toEqual(['acquire', 'function', ['release', true]])
      expect(await namesIn(knex)).toEqual(['ada'])
    }))

  it('begin, commit, rollback: called once each, with the connection; their statements are strings, sent by query', () =>
    withKnex(async (knex) => {
      for (const isGood of [true, false]) {
        const calls: unknown[] = []
        const transaction = clientOf(knex).transaction(async (trx) => {
          await trx('names').insert({ name: `${isGood}` })
          if (!isGood) throw new RangeError('on purpose')
          return 7
        }, {})
        for (const name of ['begin', 'commit', 'rollback'] as const) {
          const own = transaction[name]
          transaction[name] = (...args: [object, unknown?]) => {
            calls.push([name, args[1]])
            return Reflect.apply(own, transaction, args)
          }
        }
        const { query } = transaction
        transaction.query = (...args) => {
          calls.push(args[1])
          return Reflect.apply(query, transaction, args)
        }
        const [settled] = await Promise.allSettled([transaction])
        const error = new RangeError('on purpose')
        expect(settled).toEqual(isGood ? { status: 'fulfilled', value: 7 } : { status: 'rejected', reason: error })
        const end = isGood ? [['commit', 7], 'COMMIT;'] : [['rollback', error], 'ROLLBACK']
        expect(calls).toEqual([['begin', undefined], 'BEGIN;', ...end])
      }
      expect(await namesIn(knex)).toEqual(['true'])
    }))

  it('savepoint, release, rollbackTo: the same of a nested one, by a name made of its txid', () =>
    withKnex(async (knex) => {
      await knex.transaction(async (trx) => {
        for (const isGood of [true, false]) {
          const calls: unknown[] = []
          const nested = clientOf(trx).transaction(async (inner) => {
            await inner('names').insert({ name: `${isGood}` })
            if (!isGood) throw new RangeError('on purpose')
          }, {})
          for (const name of ['savepoint', 'release', 'rollbackTo', 'begin', 'commit', 'rollback'] as const) {
            const own = nested[name]
            nested[name] = (...args: [object, unknown?]) => {
              calls.push(name)
              return Reflect.apply(own, nested, args)
            }
          }
          const { query } = nested
          nested.query = (...args) => {
            calls.push(args[1].replace(nested.txid, 'TXID').replace(';', ''))
            return Reflect.apply(query, nested, args)
          }
          await nested.catch(() => undefined)
          const end = isGood ? ['release', 'RELEASE SAVEPOINT TXID'] : ['rollbackTo', 'ROLLBACK TO SAVEPOINT TXID']
          expect(calls).toEqual(['savepoint', 'SAVEPOINT TXID', ...end])
        }
      })
      expect(await namesIn(knex)).toEqual(['true'])
    }))

  it('transaction.query: with status 1 it fulfils with the value, with 2 it rejects with it, and after that nothing is sent', () =>
    withKnex(async (knex) => {
      const trx = await knex.transaction()
      const connection = await clientOf(trx).acquireConnection()
      expect(trx.isCompleted()).toBe(false)
      await trx.commit()
      expect(trx.isCompleted()).toBe(true)
      await trx.executionPromise
      await expect(clientOf(trx).query(connection, 'SELECT 1')).rejects.toThrow(/complete/)
      await expect(trx('names')).rejects.toThrow(/complete/)
    }))

  it('a BEGIN that fails gives a transaction that is over', () =>
    withKnex(async (knex) => {
      const seen: unknown[] = []
      const transaction = clientOf(knex).transaction((trx) => void seen.push(trx.isCompleted()), {})
      transaction.begin = (connection) => transaction.query(connection, 'NO SUCH STATEMENT')
      await expect(transaction).rejects.toThrow(/SUCH|syntax/i)
      await vi.waitFor(() => expect(usedConnections(knex)).toBe(0), PATIENT)
      expect(seen).toEqual([true])
    }))

  it('destroyRawConnection closes a connection that the pool then drops', () =>
    withKnex(async (knex) => {
      const client = clientOf(knex)
      const connection = await client.acquireConnection()
      await client.destroyRawConnection(connection)
      ;(connection as { __knex__disposed?: unknown }).__knex__disposed = new RangeError('closed')
      await client.releaseConnection(connection)
      await knex('names').insert({ name: 'on another' })
    }))
}

/** The core of the unit of work. */
function scenarios(withKnex: WithKnex, make: MakeKnex): void {
  it('commits what was done, rolls back what failed, and gives the connection back', () =>
    withKnex(async (knex) => {
      const work = unitOfWork(knex)
      await work.run(() => work.db('names').insert({ name: 'ada' }))
      await expect(
        work.run(async () => {
          await work.db('names').insert({ name: 'ben' })
          throw new RangeError('on purpose')
        })
      ).rejects.toThrow(RangeError)
      expect([await namesIn(knex), usedConnections(knex)]).toEqual([['ada'], 0])
    }))

  it('a part that fails undoes itself alone; a swallowed failure rolls all back', () =>
    withKnex(async (knex) => {
      const work = unitOfWork(knex)
      await work.run(async () => {
        await work.db('names').insert({ name: 'ada' })
        await Promise.allSettled([work.run(() => work.db('names').insert({ name: 'ada' }))])
        await work.db.transaction(async (trx) => trx('names').insert({ name: 'ben' }))
      })
      const failing = work.run(async () => {
        await work.db('names').insert({ name: 'cleo' })
        await Promise.allSettled([work.db('names').insert({ name: 'ada' })])
      })
      await expect(failing).rejects.toThrow(RollbackOnlyError)
      expect([await namesIn(knex), usedConnections(knex)]).toEqual([['ada', 'ben'], 0])
    }))

  it('a statement beside a nested transaction that rolls back is found out', () =>
    withKnex(async (knex) => {
      const work = unitOfWork(knex)
      const failing = work.run(async (unit) => {
        const nested = await work.db.transaction()
        await nested('names').insert({ name: 'inside' })
        await unit.db('names').insert({ name: 'beside' })
        await nested.rollback()
      })
      await expect(failing).rejects.toMatchObject({ cause: expect.any(UndoneByNestedError) })
      expect([await namesIn(knex), usedConnections(knex)]).toEqual([[], 0])
    }))

  it('nobody awaited, streamed, read only, and too late', () =>
    withKnex(async (knex) => {
      const work = unitOfWork(knex)
      const ended = Promise.withResolvers<void>()
      let late: Promise<unknown> = Promise.resolve()
      await work.run(async (unit) => {
        void work.run(async () => {
          await work.db('names').insert({ name: 'ada' })
          await work.db('names').insert({ name: 'ben' })
        })
        late = ended.promise.then(() => unit.db('names').del()).then(undefined, (error: unknown) => error)
      })
      ended.resolve()
      expect(await late).toBeInstanceOf(UnitEndedError)
      const seen: unknown[] = []
      await work.run(async () => {
        for await (const row of work.db('names').orderBy('name').select('name').stream()) seen.push(row)
      })
      expect(seen).toEqual([{ name: 'ada' }, { name: 'ben' }])
      await expect(work.run(() => work.db('names').del() as unknown as Promise<number>, { readOnly: true })).rejects.toThrow()
      expect([await namesIn(knex), usedConnections(knex)]).toEqual([['ada', 'ben'], 0])
    }))

  it('a stream that cannot be made tells its reader', async () => {
    await withKnex(async (knex) => {
      const { constructor: Dialect } = clientOf(knex) as unknown as { constructor: new (config: object) => Knex.Client }
      class WithoutStreams extends Dialect {
        _stream(): never {
          throw new RangeError('no driver for streams')
        }
      }
      const { config } = clientOf(knex)
      const other = make({ ...config, client: WithoutStreams as never })
      try {
        const work = unitOfWork(other)
        const reading = work.run(async () => {
          for await (const _ of work.db('names').select().stream()) break
        })
        await expect(reading).rejects.toThrow('no driver for streams')
        expect(usedConnections(other)).toBe(0)
      } finally {
        await other.destroy()
      }
    })
  })

  it('a session and rows, both or neither', () =>
    withKnex(async (knex) => {
      const work = unitOfWork(knex, { session: 'atomic' })
      const store = new KnexSessionStore({ knex, pruneIntervalMs: false })
      const inUnits = work.sessionStore(store)
      const session = () => ({ cookie: { originalMaxAge: 60_000 }, name: 'ada' }) as never
      const failing = work.run(async () => {
        await work.db('names').insert({ name: 'ada' })
        await inUnits.set('one', session())
        throw new RangeError('on purpose')
      })
      await expect(failing).rejects.toThrow(RangeError)
      await work.run(async () => {
        await work.db('names').insert({ name: 'ben' })
        void inUnits.set('two', session())
      })
      expect([await store.get('one'), await store.length(), await namesIn(knex)]).toEqual([null, 1, ['ben']])
      await store.close()
    }))
}

/** A client that tells what is asked of it. */
function watched(knex: Knex, calls: unknown[]): KnexClient {
  const base = clientOf(knex)
  let connection: object | undefined
  return Object.assign(Object.create(base) as KnexClient, {
    acquireConnection: async () => {
      calls.push('acquire')
      connection = await base.acquireConnection()
      return connection
    },
    query: (on: object, statement: KnexStatement) => {
      calls.push(['query', statement.method, on === connection])
      return base.query(on, statement)
    },
    stream: (on: object, statement: KnexStatement, rows: never, options: unknown) => {
      calls.push(['stream', statement.method, on === connection])
      return base.stream(on, statement, rows, options)
    },
    releaseConnection: (on: object) => {
      calls.push(['release', on === connection])
      return base.releaseConnection(on)
    }
  })
}

function runOn(client: KnexClient, builder: object): Promise<unknown> {
  return client.runner(Object.create(builder, { client: { value: client, writable: true } })).run()
}
