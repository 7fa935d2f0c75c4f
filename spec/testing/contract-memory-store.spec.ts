import { MemoryStore } from 'express-session'
import { describe, it } from 'vitest'
import { sessionStoreContract } from '../../lib/testing/session-store-contract'

sessionStoreContract(() => new MemoryStore(), { describe, it, title: 'the contract on MemoryStore of express-session' })
