import { join } from 'node:path'
import { expect, it } from 'vitest'
import { twoCopies } from '../support/copies'
import { runProcess } from '../support/processes'
import { describeStores, shareDatabase } from '../support/stores'
import type { Input, Output } from './copies.worker.mts'

const WORKER = join(__dirname, 'copies.worker.mts')

describeStores('two copies of the package on one Knex', (kind) => {
  const database = shareDatabase(kind)

  it('take no more connections than one may, and each reads what the other is writing', async () => {
    await using copies = await twoCopies()
    const config = { ...database().config, pool: { min: 0, max: kind.name === 'sqlite' ? 1 : 10 } }
    const input = { config, copies: copies.folders, maxConnections: 2, rounds: 30 }
    const { output, error } = await runProcess<Input, Output>(WORKER, input)
    expect(error).toBeUndefined()
    expect(output).toMatchObject({ classes: 2, missed: 0, lost: 0 })
    expect(output?.peak).toBeLessThanOrEqual(2)
  })
})
