export { type MemoryDatabase, type MemoryDatabaseOptions, MissingDriverError, memoryDatabase } from './memory-database'
export {
  type ContractIt,
  type ContractRunner,
  type ContractSpecName,
  type SessionStoreContractOptions,
  type StoreForContract,
  sessionStoreContract
} from './session-store-contract'
