import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { memoryDatabase } from '../../lib/testing/memory-database'

/** Runs the built package in a process of its own, after `prepare`, and gives the code and message of what memoryDatabase threw. */
async function refusalAfter(prepare: string): Promise<string> {
  const script = `${prepare}
    const { memoryDatabase } = require('knex-session-store/testing')
    try {
      memoryDatabase()
    } catch (error) {
      console.log(error.name, error.code, error.message)
    }`
  const { NODE_OPTIONS: _options, ...env } = process.env
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', script], { env, cwd: __dirname })
  return stdout.trim()
}

describe('memoryDatabase', () => {
  it('gives a Knex on an empty database', async () => {
    await using database = memoryDatabase()
    expect(await database.knex('sqlite_master').select()).toEqual([])
  })

  it('shares nothing with another', async () => {
    await using first = memoryDatabase()
    await using second = memoryDatabase()
    await first.knex.schema.createTable('mine', (table) => table.increments())
    expect(await first.knex.schema.hasTable('mine')).toBe(true)
    expect(await second.knex.schema.hasTable('mine')).toBe(false)
  })

  it('takes the settings of Knex, but stays one connection', async () => {
    await using database = memoryDatabase({ pool: { min: 0, max: 10 }, postProcessResponse: (result) => ({ result }) })
    await database.knex.schema.createTable('mine', (table) => table.increments())
    expect(await Promise.all([database.knex('mine').select(), database.knex('mine').select()])).toEqual([{ result: [] }, { result: [] }])
  })

  it('refuses queries once it is disposed of', async () => {
    const database = memoryDatabase()
    await database[Symbol.asyncDispose]()
    await expect(database.knex.raw('select 1')).rejects.toThrow()
  })

  it('says what to install where better-sqlite3 is missing', async () => {
    const refusal = await refusalAfter(`
      require('node:module').registerHooks({
        resolve(specifier, context, next) {
          if (!specifier.startsWith('better-sqlite3')) return next(specifier, context)
          throw Object.assign(new Error('Cannot find module'), { code: 'MODULE_NOT_FOUND' })
        }
      })`)
    expect(refusal).toBe(
      'MissingDriverError ERR_SESSION_MISSING_DRIVER memoryDatabase() needs better-sqlite3, which is not installed; run: npm install --save-dev better-sqlite3'
    )
  })

  it('refuses a better-sqlite3 that would end this version of Node.js with a segmentation fault', async () => {
    const refusal = await refusalAfter(`Object.defineProperty(process.versions, 'node', { value: '20.19.0' })`)
    expect(refusal).toBe(
      'MissingDriverError ERR_SESSION_MISSING_DRIVER memoryDatabase() needs a better-sqlite3 that runs on Node.js 20, and the installed one needs Node.js 22 or newer; run: npm install --save-dev better-sqlite3@12'
    )
  })
})
