import cluster, { type Address, type Worker } from 'node:cluster'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Knex } from 'knex'
import { expect, it } from 'vitest'
import { describeDatabases } from '../support/databases'
import { runProcess } from '../support/processes'
import { openNames } from './names'

const WORKERS = 4
const READS = 100

describeDatabases('what another process removed is gone for every worker', (database) => {
  it(`${WORKERS} workers of a cluster, a row removed by a fifth process: the next ${READS} reads all see it gone`, {
    timeout: 90_000
  }, async () => {
    await using opened = await openNames(database)
    await opened.knex('names').insert([{ name: 'ada' }, { name: 'ben' }])
    await using workers = await startCluster(opened.config)
    const read = async () => (await (await fetch(workers.url)).json()) as { pid: number; names: string[] }
    const readers = new Set<number>()
    while (readers.size < WORKERS) {
      const { pid, names } = await read()
      expect(names.sort()).toEqual(['ada', 'ben'])
      readers.add(pid)
    }
    const removal = await runProcess<{ config: Knex.Config; name: string }, number>(join(__dirname, 'remove.worker.mts'), {
      config: opened.config,
      name: 'ada'
    })
    expect(removal).toMatchObject({ output: 1, error: undefined })
    const answers: { pid: number; names: string[] }[] = []
    for (let round = 0; round < READS / 10; round++) answers.push(...(await Promise.all(Array.from({ length: 10 }, read))))
    expect(answers.filter(({ names }) => names.includes('ada'))).toEqual([])
    expect(answers.filter(({ names }) => names.length === 1)).toHaveLength(READS)
    expect(new Set(answers.map(({ pid }) => pid))).toEqual(readers)
  })
})

async function startCluster(config: Knex.Config): Promise<AsyncDisposable & { url: string }> {
  cluster.setupPrimary({ exec: join(__dirname, 'cluster-app.mts'), args: [JSON.stringify(config)], execArgv: [] })
  const workers: Worker[] = Array.from({ length: WORKERS }, () => cluster.fork())
  const addresses = await Promise.all(workers.map(async (worker) => ((await once(worker, 'listening')) as [Address])[0]))
  return {
    url: `http://127.0.0.1:${addresses[0]?.port}/`,
    async [Symbol.asyncDispose]() {
      await Promise.all(
        workers.map(async (worker) => {
          const exited = once(worker, 'exit')
          worker.disconnect()
          await exited
        })
      )
    }
  }
}
