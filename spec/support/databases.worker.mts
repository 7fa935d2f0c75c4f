import createKnex, { type Knex } from 'knex'
import type { Worker } from './processes.ts'

export default (async (config: Knex.Config) => {
  const knex = createKnex(config)
  await knex.schema.createTable('things', (table) => table.integer('id'))
  await knex('things').insert({ id: 8 })
  await knex.destroy()
}) satisfies Worker<Knex.Config>
