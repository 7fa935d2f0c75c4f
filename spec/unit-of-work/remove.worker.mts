import createKnex, { type Knex } from 'knex'
import { unitOfWork } from 'knex-session-store/unit-of-work'
import type { Worker } from '../support/processes.ts'

/** Removes a name, in a process of its own. */
export default (async ({ config, name }) => {
  const knex = createKnex(config)
  const work = unitOfWork(knex)
  const removed = await work.job(() => work.db('names').where({ name }).del())
  await knex.destroy()
  return removed
}) satisfies Worker<{ config: Knex.Config; name: string }, number>
