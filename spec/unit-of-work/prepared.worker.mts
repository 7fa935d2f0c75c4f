import createKnex, { type Knex } from 'knex'
import { unitOfWork } from 'knex-session-store/unit-of-work'
import type { Worker } from '../support/processes.ts'

export interface PreparedTask {
  readonly config: Knex.Config
  /** Prepares under each and is then killed, as by a crash. */
  readonly prepareAndDie?: readonly string[]
  readonly commit?: readonly string[]
  readonly rollback?: readonly string[]
}

/** Gives the xids that were there to recover. */
export default (async ({ config, prepareAndDie = [], commit = [], rollback = [] }) => {
  const knex = createKnex(config)
  const work = unitOfWork(knex)
  for (const xid of prepareAndDie) {
    await work.run(
      async (unit) => {
        await work.db('names').insert({ name: xid })
        await unit.prepare()
      },
      { xid }
    )
  }
  if (prepareAndDie.length > 0) process.kill(process.pid, 'SIGKILL')
  const found = (await work.recover()).map(({ xid }) => xid)
  for (const xid of commit) await work.commitPrepared(xid)
  for (const xid of rollback) await work.rollbackPrepared(xid)
  await knex.destroy()
  return found
}) satisfies Worker<PreparedTask>
