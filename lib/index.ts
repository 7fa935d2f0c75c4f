/** @module knex-session-store */

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
  OtherStoreError,
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
export { type ImportSessionsOptions, type ImportSessionsResult, importSessions } from './moving/import-sessions'
export type { ImportSource, ImportSourceOptions } from './moving/sources'
export type { CallStatistics, SessionStoreStatistics, StatementStatistics } from './observe/statistics'
export type { SessionTrace } from './observe/tracing'
export type { ConflictPolicy, KnexSessionStoreOptions, OtherStore, UnreadablePolicy } from './options/store-options'
export type { TableOptions } from './options/table-options'
export { json, type Rewrite, type SessionCodec } from './record/codec'
export type { SessionDetails } from './record/details'
export { type EncryptedOptions, type EncryptionKey, encrypted } from './record/encrypted-codec'
export type { TtlSeconds } from './record/expiry'
export { type StoredIdForm, type StoredIdOptions, storedIdOf } from './record/stored-id'
export { createSessionsTable, dropSessionsTable, registerSessionsTable } from './schema/create-sessions-table'
export { MigrationsDirectoryError, migrationsDirectory } from './schema/migrations-directory'
export type { SessionsTableOptions } from './schema/sessions-table-options'
export { type SessionsTableSqlOptions, sessionsTableSql } from './schema/sessions-table-sql'
export type { SessionStoreHealth } from './sessions/health'
export type { DestroyOwnerOptions, OfOwnerOptions, OwnedSession, OwnerId } from './sessions/owners'
export { KnexSessionStore } from './store'
