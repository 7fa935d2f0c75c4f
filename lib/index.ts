export type { ColumnNames, TableDefinition } from './dialects/table-definition'
export {
  DatabaseError,
  DatabaseUnreachableError,
  type DefinitionDifference,
  ForeignTableError,
  InvalidOptionError,
  InvalidSessionIdError,
  ReadOnlyDatabaseError,
  RecordTooLargeError,
  SchemaConflictError,
  SessionConflictError,
  SessionStoreError,
  StoreClosedError,
  TableMissingError,
  TimeoutError,
  TransientDatabaseError,
  UnknownOptionError,
  UnserializableSessionError,
  UnsupportedDatabaseError
} from './errors'
export type { ConflictEvent, DroppedEvent, SessionStoreEvents, UnreadableEvent } from './events'
export type { ConflictPolicy, KnexSessionStoreOptions, TableOptions } from './options'
export { json, type SessionCodec } from './record/codec'
export type { TtlSeconds } from './record/expiry'
export type { StoredIdForm } from './record/stored-id'
export { createSessionsTable, dropSessionsTable, registerSessionsTable, type SessionsTableOptions } from './schema/create-sessions-table'
export { migrationsDirectory } from './schema/migrations-directory'
export { KnexSessionStore } from './store'
