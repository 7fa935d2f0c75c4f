/** The layout this release reads and writes. A table of another layout is another table: the version is part of the registry key. */
export const LAYOUT_VERSION = 1

/** The columns of the sessions table by their meaning. The values are the names in the database. */
export interface ColumnNames {
  /** Stored id, the primary key. */
  readonly id: string
  /** The encoded session. */
  readonly data: string
  /** When the session ends, in milliseconds since the epoch. */
  readonly expiresAt: string
  /** `expiresAt` rounded up to the hour: the indexed column that pruning searches. */
  readonly expiresHour: string
  /** Grows with every change of `data`. */
  readonly revision: string
  /** The owner of the session, or null. */
  readonly ownerId: string
  /** When the session began, in milliseconds since the epoch. */
  readonly createdAt: string
  /** When the session was last written or touched, in milliseconds since the epoch; as precise as `touchAfterMs`. Not indexed. */
  readonly lastSeenAt: string
}

export const DEFAULT_COLUMNS: ColumnNames = Object.freeze({
  id: 'id',
  data: 'data',
  expiresAt: 'expires_at',
  expiresHour: 'expires_hour',
  revision: 'revision',
  ownerId: 'owner_id',
  createdAt: 'created_at',
  lastSeenAt: 'last_seen_at'
})

/** Which table, and how it is laid out. Two definitions of one table must be equal in everything but the first two fields. */
export interface TableDefinition {
  /** The name of the table. */
  readonly tableName: string
  /** Its schema, or undefined for the one that the connection uses. */
  readonly schemaName: string | undefined
  /** The version of its layout. */
  readonly version: number
  /** The names of its columns in the database. */
  readonly columns: ColumnNames
}

/** The columns as a statement writes them. */
export function quotedColumns({ columns }: TableDefinition, quote: (name: string) => string): ColumnNames {
  return Object.fromEntries(Object.entries(columns).map(([key, column]) => [key, quote(column)])) as unknown as ColumnNames
}

/** The table as a person writes it, for messages. */
export function displayName({ schemaName, tableName }: TableDefinition): string {
  return JSON.stringify(schemaName === undefined ? tableName : `${schemaName}.${tableName}`)
}

/** The call of createSessionsTable that makes the table, as a migration has it. */
export function creationCall({ tableName, schemaName, columns }: TableDefinition): string {
  const renamed = Object.entries(columns).filter(([key, name]) => DEFAULT_COLUMNS[key as keyof ColumnNames] !== name)
  const options = [
    ...(tableName === 'sessions' ? [] : [`tableName: ${literal(tableName)}`]),
    ...(schemaName === undefined ? [] : [`schemaName: ${literal(schemaName)}`]),
    ...(renamed.length === 0 ? [] : [`columns: { ${renamed.map(([key, name]) => `${key}: ${literal(name)}`).join(', ')} }`])
  ]
  return options.length === 0 ? 'createSessionsTable(knex)' : `createSessionsTable(knex, { ${options.join(', ')} })`
}

function literal(name: string): string {
  return /^[^'\\\p{C}]*$/u.test(name) ? `'${name}'` : JSON.stringify(name)
}
