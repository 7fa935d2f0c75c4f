// Runs the contract on one store, spec after spec, and reports the titles of those that fail.
import { once } from 'node:events'
import { sessionStoreContract } from 'knex-session-store/testing'
import { type Contender, openStore } from '../races/stores.mjs'

const [contender] = (await once(process, 'message')) as [Contender]
// What a store lets escape fails the spec that looks for it, and must not end the others.
process.on('uncaughtException', () => undefined)

const store = await openStore(contender)
const specs: [title: string, body: (context: object) => Promise<void>][] = []
const it = Object.assign((title: string, body: () => Promise<void>) => specs.push([title, body]), { skip: () => undefined })
sessionStoreContract(
  async () => {
    await new Promise((resolve) => (store.clear ? store.clear(resolve) : resolve(undefined)))
    return { store, dispose: () => undefined }
  },
  { describe: (_title, body) => body(), it }
)

const failed: string[] = []
let skipped = 0
for (const [title, body] of specs) {
  try {
    await body({ skip: () => skipped++ })
  } catch {
    failed.push(title)
  }
}
process.send?.({ specs: specs.length, skipped, failed }, () => process.exit())
