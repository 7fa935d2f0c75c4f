// Run by contract-runners.spec.ts with `node --test`: the contract as a user of node:test has it.
import { describe, it } from 'node:test'
import session from 'express-session'
import { sessionStoreContract } from 'knex-session-store/testing'

class StoreWithoutAll extends session.MemoryStore {
  all = undefined
}

sessionStoreContract(() => new StoreWithoutAll(), {
  describe,
  it,
  title: 'a store without all()',
  skip: {
    'length counts the live sessions and not the expired ones': 'length of MemoryStore needs all()',
    'length of an empty store is zero': 'length of MemoryStore needs all()',
    'every method answers exactly once': 'it calls length',
    'no method answers before it has returned': 'it calls length',
    'a success comes without an error': 'it calls length'
  }
})
