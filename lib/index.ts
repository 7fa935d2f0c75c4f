export {
  DatabaseError,
  DatabaseLockedError,
  DatabaseUnreachableError,
  PoolExhaustedError,
  type PoolUsage,
  ReadOnlyDatabaseError,
  RecordTooLargeError,
  TimeoutError,
  type TimeoutOutcome,
  TransientDatabaseError,
  type TransientReason
} from './database-errors'
export type { Durability } from './dialects/dialect'
export type { ColumnNames, TableDefinition } from './dialects/table-definition'
export {
  type DefinitionDifference,
  ForeignTableError,
  InvalidOptionError,
  InvalidSessionIdError,
  OptionFunctionError,
  QueryListenerError,
  SchemaConflictError,
  SessionConflictError,
  SessionStoreError,
  SessionTooLargeError,
  StoreClosedError,
  TableMissingError,
  TransactionEndedError,
  UnknownOptionError,
  UnreadableSessionError,
  UnserializableSessionError,
  UnsupportedDatabaseError,
  type WrongColumn
} from './errors'
export type { ConflictEvent, DroppedEvent, SessionStoreEvents, UnreadableEvent } from './events'
export type { CallStatistics, SessionStoreStatistics, StatementStatistics } from './observe/statistics'
export type { SessionTrace } from './observe/tracing'
export type { ConflictPolicy, KnexSessionStoreOptions, UnreadablePolicy } from './options/store-options'
export type { TableOptions } from './options/table-options'
export { json, type Rewrite, type SessionCodec } from './record/codec'
export { type EncryptedOptions, type EncryptionKey, encrypted } from './record/encrypted-codec'
export type { TtlSeconds } from './record/expiry'
export { type StoredIdForm, type StoredIdOptions, storedIdOf } from './record/stored-id'
export { createSessionsTable, dropSessionsTable, registerSessionsTable, type SessionsTableOptions } from './schema/create-sessions-table'
export { MigrationsDirectoryError, migrationsDirectory } from './schema/migrations-directory'
export type { SessionStoreHealth } from './sessions/health'
export type { DestroyOwnerOptions, OfOwnerOptions, OwnedSession, OwnerId } from './sessions/owners'
export { KnexSessionStore } from './store'
