import { encrypted } from '../../lib'
import { contractOverDatabases } from './contract-over-databases'

contractOverDatabases(
  'the contract on KnexSessionStore with plain session ids, a prefix, encrypted data, and one statement a call',
  {
    storedId: 'plain',
    prefix: 'web:',
    batch: false,
    codec: encrypted({ keys: ['a key of at least thirty-two characters'] })
  },
  { 'a session id may hold quotes, wildcards, slashes and any other character': 'a plain id holds no colon, which ends the prefix' }
)
