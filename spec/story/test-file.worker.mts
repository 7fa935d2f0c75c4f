import createKnex, { type Knex } from 'knex'
import { createSessionsTable, KnexSessionStore } from 'knex-session-store'
import { rolledBack } from 'knex-session-store/testing'
import type { Worker } from '../support/processes.ts'
import { makeSite, shuffled, visit } from './site.mts'

export interface Input {
  readonly config: Knex.Config
  readonly seed: number
  readonly tests: number
  /** As a set-up file does before the tests, or not: then each app makes its table in its own transaction. */
  readonly createsTable: boolean
}

export interface Output {
  readonly answers: string[]
  readonly schemaStatements: number
}

/** What the test runner runs in a process of its own: a file of tests, each with an app of its own on a transaction that is rolled back. */
export default (async ({ config, seed, tests, createsTable }, go) => {
  const knex = createKnex(config)
  const statements: string[] = []
  knex.on('query', ({ sql }: { sql: string }) => statements.push(sql))
  await go()
  if (createsTable) await createSessionsTable(knex)
  const answers: string[] = []
  for (const test of shuffled(
    Array.from({ length: tests }, (_, index) => index),
    seed
  )) {
    await using database = rolledBack(knex)
    const app = makeSite(database.knex, (own) => new KnexSessionStore({ knex: own, storedId: 'plain' }))
    answers[test] = await visit(app, `visitor${test}`)
  }
  await knex.destroy()
  return {
    answers,
    schemaStatements: statements.filter((sql) => /create table|pg_attribute|pragma_table_info|show columns|limit 0$/i.test(sql)).length
  }
}) satisfies Worker<Input, Output>
