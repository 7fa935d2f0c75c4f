import type { FoundTable, Holding } from '../found-table'

/**
 * Selects one row for each column of whatever has the name. With a schema, it looks there. Without one, it looks where a statement would
 * look: among the temporary tables, then in the main database, then in the attached ones.
 */
export const DESCRIBE = `WITH given AS (SELECT ? AS id, ? AS name),
  t AS (SELECT l.schema, l.name, CASE WHEN l.wr AND l.type = 'table' THEN 'without rowid' ELSE l.type END AS type FROM given, pragma_table_list(given.name) AS l
    WHERE ? IS NULL OR l.schema = ? COLLATE NOCASE
    ORDER BY l.schema = 'temp' DESC, l.schema = 'main' DESC LIMIT 1)
  SELECT t.type AS kind, c.name AS column_name, c.type AS declared, c."notnull" = 0 AS is_nullable,
    c."notnull" <> 0 AND c.dflt_value IS NULL AND NOT (c.pk <> 0 AND lower(c.type) = 'integer') AS is_required,
    EXISTS (SELECT 1 FROM given, pragma_index_list(t.name, t.schema) AS i
      WHERE i."unique" AND NOT i.partial
        AND (SELECT group_concat(k.name, x'00') FROM pragma_index_info(i.name, t.schema) AS k) = given.id COLLATE NOCASE) AS has_unique_id,
    EXISTS (SELECT 1 FROM pragma_index_list(t.name, t.schema) AS i
      WHERE i."unique"
        AND EXISTS (SELECT 1 FROM pragma_index_info(i.name, t.schema) AS k WHERE k.name = c.name COLLATE NOCASE)
        AND NOT EXISTS (SELECT 1 FROM given, pragma_index_info(i.name, t.schema) AS k WHERE k.name = given.id COLLATE NOCASE)) AS is_in_other_key
  FROM t, pragma_table_info(t.name, t.schema) AS c`

/** Any other kind is a table. */
const INSTEAD: Readonly<Record<string, string>> = {
  view: 'a view',
  virtual: 'a virtual table',
  shadow: 'a part of a virtual table',
  'without rowid': 'WITHOUT ROWID, but ended sessions are removed by their rowid'
}

/** Returns what {@link DESCRIBE} found, from its rows. */
export function foundTable(rows: readonly (readonly unknown[])[]): FoundTable | null {
  const [[kind, , , , , hasUniqueId] = []] = rows
  if (kind === undefined) return null
  const columns = rows.map(([, name, declared, isNullable, isRequired, , isInOtherKey]) => {
    const type = String(declared ?? '').toLowerCase()
    return {
      name: String(name),
      type: type === '' ? 'without a type' : type,
      holds: holdingOf(type),
      isNullable: Number(isNullable) === 1,
      isRequired: Number(isRequired) === 1,
      isInOtherKey: Number(isInOtherKey) === 1
    }
  })
  return { columns, hasUniqueId: Number(hasUniqueId) === 1, instead: INSTEAD[String(kind)] }
}

/** Follows the rules of affinity, in their order. SQLite enforces no length, and a column without a type holds any value. */
function holdingOf(type: string): Holding {
  const bits = 64
  const characters = Number.POSITIVE_INFINITY
  if (type === '') return { bits, characters }
  if (type.includes('int')) return { bits }
  return /char|clob|text/.test(type) ? { characters } : {}
}
