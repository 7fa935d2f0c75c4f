import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { KnexSessionStore, type KnexSessionStoreOptions } from '../../lib'
import { memoryDatabase } from '../../lib/testing'

const rejects = async (): Promise<never> => {
  throw new Error('of the application')
}

describe('functions of the application that are async where a plain value is asked for', () => {
  const unhandled: unknown[] = []
  const note = (reason: unknown) => unhandled.push(reason)

  beforeEach(() => {
    unhandled.length = 0
    process.on('unhandledRejection', note)
  })
  afterEach(() => {
    process.off('unhandledRejection', note)
  })

  async function save(options: Partial<KnexSessionStoreOptions>): Promise<unknown> {
    const { knex } = memoryDatabase()
    const store = new KnexSessionStore({ knex, pruneIntervalMs: false, ...options })
    try {
      return await store.set('id', { cookie: { originalMaxAge: null } } as never).catch((error: unknown) => error)
    } finally {
      await store.close()
      await knex.destroy()
      // Node tells of a rejection after the turn it came in.
      await nextTurn()
      await nextTurn()
    }
  }

  it.each([
    ['ttlSeconds', 'ERR_SESSION_INVALID_OPTION'],
    ['clock', 'ERR_SESSION_INVALID_OPTION'],
    ['owner', 'ERR_SESSION_UNSERIALIZABLE']
  ] as const)('refuses what %s returns, and leaves no rejection unhandled', async (option, code) => {
    expect(await save({ [option]: rejects })).toMatchObject({ code })
    expect(unhandled).toEqual([])
  })

  it.each(['ttlSeconds', 'clock', 'owner'] as const)('names %s where it throws, with its error as the cause', async (option) => {
    const cause = new TypeError('of the application')
    const throws = () => {
      throw cause
    }
    expect(await save({ [option]: throws })).toMatchObject({
      code: 'ERR_SESSION_OPTION_FUNCTION',
      option,
      message: expect.stringContaining(`the function given as option ${option} threw an error (see cause)`),
      cause
    })
  })

  it('names a clock that throws while pruning', async () => {
    const { knex } = memoryDatabase()
    const clock = () => {
      throw new Error('of the application')
    }
    const store = new KnexSessionStore({ knex, pruneIntervalMs: false, clock })
    await expect(store.prune()).rejects.toMatchObject({ code: 'ERR_SESSION_OPTION_FUNCTION', option: 'clock' })
    await store.close()
    await knex.destroy()
  })

  it('leaves no rejection of onError unhandled', async () => {
    const asked: unknown[] = []
    const onError = (error: unknown) => {
      asked.push(error)
      return rejects()
    }
    expect(await save({ onError, clock: () => Number.NaN })).toMatchObject({ code: 'ERR_SESSION_INVALID_OPTION' })
    expect(asked).toHaveLength(1)
    expect(unhandled).toEqual([])
  })

  it.each([Number.NaN, Number.POSITIVE_INFINITY, '5', 5n, undefined, new Date(5)])('refuses a clock that returns %o', async (moment) => {
    expect(await save({ clock: () => moment as number })).toMatchObject({ code: 'ERR_SESSION_INVALID_OPTION', option: 'clock' })
  })

  it('takes a clock that returns fractions of milliseconds', async () => {
    expect(await save({ clock: () => 1_700_000_000_000.25 })).toBeUndefined()
  })
})
