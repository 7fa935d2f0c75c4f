import { createSessionsTable } from '../../lib'
import { assemble } from '../../lib/assemble'
import { resolveOptions } from '../../lib/options/store-options'
import { SingleRecords } from '../../lib/table/single-records'
import { databaseNamed, databasesAndPglite } from '../support/databases'
import { Clock } from '../support/stores'
import { MemorySessionRecords } from './memory-session-records'
import { describeSessionRecords } from './session-records.contract'

describeSessionRecords('in memory', async () => {
  const clock = new Clock()
  return { records: new MemorySessionRecords(clock.read), clock, [Symbol.asyncDispose]: async () => undefined }
})

for (const { name, available } of databasesAndPglite) {
  if (!available) continue
  for (const batch of [true, false]) {
    describeSessionRecords(`${name}, ${batch ? 'batched' : 'a statement for each'}`, async () => {
      const database = await databaseNamed(name).open()
      const clock = new Clock()
      const { records } = assemble(resolveOptions({ knex: database.knex, clock: clock.read, batch, pruneIntervalMs: false }))
      return { records, clock, [Symbol.asyncDispose]: () => database[Symbol.asyncDispose]() }
    })
  }

  describeSessionRecords(`${name}, in a transaction`, async () => {
    const database = await databaseNamed(name).open()
    const clock = new Clock()
    // Not every database can make it in the transaction.
    await createSessionsTable(database.knex)
    const trx = await database.knex.transaction()
    const { table } = assemble(resolveOptions({ knex: trx, clock: clock.read }))
    return {
      records: new SingleRecords(table),
      clock,
      async [Symbol.asyncDispose]() {
        await trx.rollback()
        await database[Symbol.asyncDispose]()
      }
    }
  })
}
