import type { Knex } from 'knex'
import { displayName, type TableDefinition } from '../dialects/table-definition'
import { type DefinitionDifference, SchemaConflictError } from '../errors'
import { type DatabaseIdentity, databaseIdentity } from '../knex/identity'
import { processRegistry } from '../runtime/process-registry'

/**
 * One sessions table as this process knows it. It is plain data, and every copy of this module in the process shares it. So its shape must
 * not change under `registry@1`.
 */
export interface RegisteredTable {
  readonly definition: TableDefinition
  /** True once the table was seen or made. False again when a statement finds it missing. */
  ready: boolean
  /** The attempt in flight to find or make the table. There is never a second attempt beside it. */
  preparing: Promise<void> | null
  /** The last write of each session that has writes in flight, by stored id. */
  readonly lastWrites: Map<string, Promise<unknown>>
  /** How often a test has made the store forget everything about its sessions. */
  resets: number
}

/**
 * Returns the entry of the table. The first call makes it, and every later call returns the same object, also in other copies of this
 * module. No I/O. Throws {@link SchemaConflictError} if the same table is registered with another definition.
 */
export function register(knex: Knex, definition: TableDefinition): RegisteredTable {
  const tables = tablesOf(databaseIdentity(knex))
  const key = keyOf(definition)
  const registered = tables.get(key)
  if (registered === undefined) {
    const entry: RegisteredTable = { definition, ready: false, preparing: null, lastWrites: new Map(), resets: 0 }
    tables.set(key, entry)
    return entry
  }
  const differences = compare(registered.definition, definition)
  if (differences.length > 0) throw new SchemaConflictError(displayName(definition), differences)
  return registered
}

/** The entry of the table in the database of that identity, if there is one. */
export function registeredIn(identity: DatabaseIdentity, definition: TableDefinition): RegisteredTable | undefined {
  return knownTablesOf(identity)?.get(keyOf(definition))
}

function knownTablesOf(identity: DatabaseIdentity): Map<string, RegisteredTable> | undefined {
  const { named, anonymous } = processRegistry()
  const tables = typeof identity === 'string' ? named.get(identity) : anonymous.get(identity)
  return tables as Map<string, RegisteredTable> | undefined
}

function tablesOf(identity: DatabaseIdentity): Map<string, RegisteredTable> {
  const tables = knownTablesOf(identity)
  if (tables !== undefined) return tables
  const { named, anonymous } = processRegistry()
  const fresh = new Map<string, RegisteredTable>()
  if (typeof identity === 'string') named.set(identity, fresh)
  else anonymous.set(identity, fresh)
  return fresh
}

function keyOf({ schemaName, tableName, version }: TableDefinition): string {
  return JSON.stringify([schemaName ?? null, tableName, version])
}

function compare(registered: TableDefinition, given: TableDefinition): DefinitionDifference[] {
  const differences: DefinitionDifference[] = []
  for (const [key, name] of Object.entries(given.columns)) {
    const before = (registered.columns as unknown as Record<string, string>)[key]
    if (before !== name) differences.push({ field: `columns.${key}`, registered: before, given: name })
  }
  return differences
}
