import type { Dialect } from '../dialects/dialect'
import { quotedColumns, type TableDefinition } from '../dialects/table-definition'
import { PREFIX_END } from '../record/stored-id'

/**
 * Which rows a scan sees: the rows whose id starts with the prefix. Hashed ids have exactly `idLength` characters. Plain ids have no colon
 * after the prefix, because it would be part of a longer prefix.
 */
export interface ScanRange {
  readonly prefix: string
  readonly idLength: number | undefined
}

/** A condition of a statement, with its bindings. */
export interface Condition {
  readonly sql: string
  readonly bindings: readonly unknown[]
}

/** The condition of the rows in the range that are alive at the moment `now`. */
export function liveRows(dialect: Dialect, table: TableDefinition, { prefix, idLength }: ScanRange, now: number): Condition {
  const { id, expiresAt } = quotedColumns(table, dialect.quote)
  const conditions = [`${expiresAt} > ?`]
  const bindings: unknown[] = [now]
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
