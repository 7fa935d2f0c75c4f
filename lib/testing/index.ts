export { type MemoryDatabase, type MemoryDatabaseOptions, MissingDriverError, memoryDatabase } from './memory-database'
export { reset } from './reset'
export { resetSchema } from './reset-schema'
export { type RolledBack, rolledBack, SchemaChangeCommitsError, TestEndedError } from './rolled-back'
export {
  type ContractIt,
  type ContractRunner,
  type ContractSpecName,
  type SessionStoreContractOptions,
  type StoreForContract,
  sessionStoreContract
} from './session-store-contract'
