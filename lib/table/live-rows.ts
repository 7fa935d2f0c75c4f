import type { Dialect } from '../dialects/dialect'
import { quotedColumns, type TableDefinition } from '../dialects/table-definition'
import type { ResolvedOptions } from '../options/store-options'
import { HASH_LENGTH, PREFIX_END } from '../record/stored-id'

/**
 * The rows that a scan reads: their ids start with the prefix. A hashed id has exactly `idLength` characters. A plain id has no colon after
 * the prefix, because a colon would be part of a longer prefix.
 */
export interface ScanRange {
  readonly prefix: string
  readonly idLength: number | undefined
  /** Sessions that are older than this, in milliseconds, are left out. @default Infinity */
  readonly maxLifetimeMs?: number
}

/** Returns the range of a store. With `upgradePlainIds`, the range contains plain ids and hashed ids. */
export function rangeOf({
  prefix,
  storedId,
  upgradePlainIds
}: Pick<ResolvedOptions, 'prefix' | 'storedId' | 'upgradePlainIds'>): ScanRange {
  const isHashed = storedId === 'hashed' && !upgradePlainIds
  return { prefix, idLength: isHashed ? [...prefix].length + HASH_LENGTH : undefined }
}

/** A condition for WHERE, with its bindings. */
export interface Condition {
  readonly sql: string
  readonly bindings: readonly unknown[]
}

/** Returns the select list of a whole record, for `toRecord`. */
export function recordColumns(dialect: Dialect, table: TableDefinition): string {
  const { id, data, expiresAt, revision, createdAt, ownerId } = quotedColumns(table, dialect.quote)
  return `${dialect.text(id)}, ${dialect.text(data)}, ${expiresAt}, ${revision}, ${createdAt}, ${dialect.text(ownerId)}`
}

/** Returns the condition for rows in the range that are alive at the moment `now`. */
export function liveRows(
  dialect: Dialect,
  table: TableDefinition,
  { prefix, idLength, maxLifetimeMs = Number.POSITIVE_INFINITY }: ScanRange,
  now: number
): Condition {
  const { id, expiresAt, createdAt } = quotedColumns(table, dialect.quote)
  const conditions = [`${expiresAt} > ?`]
  const bindings: unknown[] = [now]
  if (Number.isFinite(maxLifetimeMs)) {
    conditions.push(`${createdAt} > ?`)
    bindings.push(Math.round(now - maxLifetimeMs))
  }
  if (prefix !== '') {
    conditions.push(`substr(${id}, 1, ?) = ?`)
    bindings.push([...prefix].length, prefix)
  }
  if (idLength !== undefined) {
    conditions.push(`${dialect.characters(id)} = ?`)
    bindings.push(idLength)
  } else {
    conditions.push(`substr(${id}, ?) NOT LIKE ?`)
    bindings.push([...prefix].length + 1, `%${PREFIX_END}%`)
  }
  return { sql: conditions.join(' AND '), bindings }
}
