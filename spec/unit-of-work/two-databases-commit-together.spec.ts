import { join } from 'node:path'
import type { Knex } from 'knex'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { InvalidOptionError } from '../../lib'
import {
  RollbackOnlyError,
  TwoPhaseDisabledError,
  TwoPhaseUnsupportedError,
  UnitEndedError,
  UnknownXidError,
  unitOfWork,
  XidConflictError
} from '../../lib/unit-of-work'
import { describeDatabase } from '../support/databases'
import { runProcess } from '../support/processes'
import { createNames, namesIn, openNames, usedConnections } from './names'
import type { PreparedTask } from './prepared.worker.mts'
import { openPostgresThatPrepares, type PreparedPostgres } from './prepared-postgres'

const WORKER = join(__dirname, 'prepared.worker.mts')

/** A transaction's id of this run: those of MySQL are known to the whole server. */
const run = Math.random().toString(36).slice(2, 8)
const xidOf = (name: string) => `spec-${run}-${name}`

function describeTwoPhase(open: () => Promise<{ knex: Knex; config: Knex.Config } & AsyncDisposable>) {
  it('what is prepared is seen by nobody until it is committed, from any connection', async () => {
    await using opened = await open()
    const { knex } = opened
    const work = unitOfWork(knex)
    const xid = xidOf('commit')
    await work.run(
      async (unit) => {
        await work.db('names').insert({ name: 'ada' })
        await work.prepare(xid)
        expect(unit.state).toBe('prepared')
        await expect(work.db('names').select()).rejects.toThrow(UnitEndedError)
      },
      { xid }
    )
    expect(usedConnections(knex)).toBe(0)
    expect(await namesIn(knex)).toEqual([])
    expect((await work.recover()).map((prepared) => prepared.xid)).toContain(xid)
    await work.commitPrepared(xid)
    expect(await namesIn(knex)).toEqual(['ada'])
    expect((await work.recover()).map((prepared) => prepared.xid)).not.toContain(xid)
    await expect(work.commitPrepared(xid)).rejects.toThrow(UnknownXidError)
  })

  it('or rolled back', async () => {
    await using opened = await open()
    const work = unitOfWork(opened.knex)
    const xid = xidOf('rollback')
    await work.run(
      async () => {
        await work.db('names').insert({ name: 'ada' })
        await expect(work.run(() => work.db('names').insert({ name: 'ada' }))).rejects.toThrow(/unique|duplicate/i)
        await work.prepare()
      },
      { xid }
    )
    await work.rollbackPrepared(xid)
    expect(await namesIn(opened.knex)).toEqual([])
    await expect(work.rollbackPrepared(xid)).rejects.toThrow(UnknownXidError)
  })

  it('a unit with an xid that is not prepared commits and rolls back as any other', async () => {
    await using opened = await open()
    const work = unitOfWork(opened.knex)
    await work.run(() => work.db('names').insert({ name: 'ada' }), { xid: xidOf('one-phase') })
    const failing = work.run(
      async () => {
        await work.db('names').insert({ name: 'ben' })
        throw new RangeError('no')
      },
      { xid: xidOf('one-phase') }
    )
    await expect(failing).rejects.toThrow(RangeError)
    const swallowing = work.run(
      async () => {
        await Promise.allSettled([work.db('no_such_table')])
        await work.prepare()
      },
      { xid: xidOf('one-phase') }
    )
    await expect(swallowing).rejects.toThrow(RollbackOnlyError)
    expect(await namesIn(opened.knex)).toEqual(['ada'])
    expect(usedConnections(opened.knex)).toBe(0)
  })

  it('another process finds what a process that died has prepared, and finishes it', async () => {
    await using opened = await open()
    const { config } = opened
    const [kept, dropped] = [xidOf('orphan-1'), xidOf('orphan-2')]
    const died = await runProcess<PreparedTask, string[]>(WORKER, { config, prepareAndDie: [kept, dropped] })
    expect(died).toMatchObject({ signal: 'SIGKILL', error: undefined })
    expect(await namesIn(opened.knex)).toEqual([])
    const finished = await runProcess<PreparedTask, string[]>(WORKER, { config, commit: [kept], rollback: [dropped] })
    expect(finished.error).toBeUndefined()
    expect(finished.output).toEqual(expect.arrayContaining([kept, dropped]))
    expect(await namesIn(opened.knex)).toEqual([kept])
  })

  it('two databases are both committed, or neither', async () => {
    await using one = await open()
    await using two = await open()
    const [first, second] = [unitOfWork(one.knex), unitOfWork(two.knex)]
    const transfer = async (name: string, fails: boolean) => {
      const xids = [xidOf(`${name}-1`), xidOf(`${name}-2`)] as const
      await first.run(
        async () => {
          await first.db('names').insert({ name })
          await first.prepare()
        },
        { xid: xids[0] }
      )
      try {
        await second.run(
          async () => {
            await second.db('names').insert({ name })
            if (fails) throw new RangeError('the second cannot')
            await second.prepare()
          },
          { xid: xids[1] }
        )
      } catch (error) {
        await first.rollbackPrepared(xids[0])
        throw error
      }
      await first.commitPrepared(xids[0])
      await second.commitPrepared(xids[1])
    }
    await transfer('ada', false)
    await expect(transfer('ben', true)).rejects.toThrow('the second cannot')
    expect([await namesIn(one.knex), await namesIn(two.knex)]).toEqual([['ada'], ['ada']])
  })

  it('an xid that is taken, and one that is none, are told apart', async () => {
    await using opened = await open()
    const work = unitOfWork(opened.knex)
    const xid = xidOf('taken')
    const prepare = (name: string) =>
      work.run(
        async () => {
          await work.db('names').insert({ name })
          await work.prepare()
        },
        { xid }
      )
    await prepare('ada')
    await expect(prepare('ben')).rejects.toThrow(XidConflictError)
    expect(usedConnections(opened.knex)).toBe(0)
    await work.commitPrepared(xid)
    expect(await namesIn(opened.knex)).toEqual(['ada'])
    for (const wrong of ["it's", '', 'a'.repeat(65), 'ü']) {
      await expect(work.run(() => work.prepare(wrong))).rejects.toThrow(InvalidOptionError)
      await expect(work.commitPrepared(wrong)).rejects.toThrow(InvalidOptionError)
      await expect(work.run(() => undefined, { xid: wrong })).rejects.toThrow(InvalidOptionError)
    }
  })

  it('only the outermost unit can be prepared', async () => {
    await using opened = await open()
    const work = unitOfWork(opened.knex)
    await work.run(async () => {
      await expect(work.run(() => work.prepare(xidOf('nested')))).rejects.toThrow(TwoPhaseUnsupportedError)
    })
    await opened.knex.transaction(async (trx) => {
      const inside = unitOfWork(trx)
      await expect(inside.run(() => inside.prepare(xidOf('nested')))).rejects.toThrow(TwoPhaseUnsupportedError)
    })
  })
}

describeDatabase('postgres', 'two databases commit together', () => {
  let server: PreparedPostgres | undefined

  beforeAll(async () => {
    server = await openPostgresThatPrepares(20)
  })
  afterAll(() => server?.[Symbol.asyncDispose]())

  describeTwoPhase(async () => {
    if (server === undefined) throw new Error('TEST_PG_URL names a server with max_prepared_transactions = 0: set it to 20 there')
    const knex = server.knex
    const name = `spec_${Math.random().toString(36).slice(2)}`
    await knex.raw('CREATE SCHEMA ??', [name])
    const config = { ...server.config, searchPath: [name] }
    const { default: createKnex } = await import('knex')
    const own = createKnex(config)
    await createNames(own)
    return { knex: own, config, [Symbol.asyncDispose]: () => own.destroy() }
  })

  it('the xid may come as late as the moment of preparing', async () => {
    if (server === undefined) throw new Error('no server')
    const work = unitOfWork(server.knex)
    await work.run(async () => {
      await work.db.raw('select 1')
      await work.prepare(xidOf('late'))
    })
    await work.rollbackPrepared(xidOf('late'))
  })
})

describeDatabase('mysql', 'two databases commit together', (database) => {
  describeTwoPhase(() => openNames(database))

  it('the xid has to be known before the first statement', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    const tooLate = work.run(async () => {
      await work.db('names').insert({ name: 'ada' })
      await work.prepare(xidOf('late'))
    })
    await expect(tooLate).rejects.toThrow(XidConflictError)
    expect(await namesIn(opened.knex)).toEqual([])
    await work.run(async () => {
      await work.prepare(xidOf('first'))
    })
    await work.commitPrepared(xidOf('first'))
  })
})

describeDatabase('postgres', 'two-phase commit on a server that keeps none', (database) => {
  it('is refused with the setting to change', async () => {
    const server = await openPostgresThatPrepares(0)
    if (server === undefined) throw new Error(`no server with max_prepared_transactions = 0 beside ${database.name}`)
    await using _ = server
    await createNames(server.knex)
    const work = unitOfWork(server.knex)
    const refused = work.run(async () => {
      await work.db('names').insert({ name: 'ada' })
      await work.prepare('an-xid')
    })
    await expect(refused).rejects.toThrow(TwoPhaseDisabledError)
    await expect(refused).rejects.toThrow('set max_prepared_transactions above 0')
    expect(await namesIn(server.knex)).toEqual([])
    expect(usedConnections(server.knex)).toBe(0)
  })
})

describeDatabase('sqlite', 'two-phase commit', (database) => {
  it('is refused in words', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    await expect(work.run(() => work.prepare('an-xid'))).rejects.toThrow('SQLite has no two-phase commit')
    await expect(work.recover()).rejects.toThrow(TwoPhaseUnsupportedError)
    await expect(work.commitPrepared('an-xid')).rejects.toThrow(TwoPhaseUnsupportedError)
  })
})
