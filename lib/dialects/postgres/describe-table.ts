import type { FoundTable, Holding } from '../found-table'
import type { TableDefinition } from '../table-definition'

/**
 * Selects the connection's encoding, then whatever has the name, then one row for each of its columns. to_regclass follows the search_path
 * as the statements do, and is null for a name that does not exist. A domain counts as its base type. All values are returned as text.
 * Types are quoted if quote_all_identifiers is on.
 */
export const DESCRIBE = `SELECT current_setting('client_encoding'), c.relkind::text,
    CASE WHEN n.nspname <> current_schema() AND pg_catalog.pg_my_temp_schema() <> n.oid THEN n.nspname::text END,
    a.attname::text,
    replace(CASE WHEN y.typtype = 'd' THEN pg_catalog.format_type(y.typbasetype, y.typtypmod)
      ELSE pg_catalog.format_type(a.atttypid, a.atttypmod) END, '"', ''),
    (a.attgenerated <> '' OR a.attidentity = 'a')::text,
    (a.attnotnull OR y.typnotnull)::text,
    (a.atthasdef OR a.attidentity <> '' OR y.typdefault IS NOT NULL)::text,
    EXISTS (SELECT 1 FROM pg_catalog.pg_index AS i
      WHERE i.indrelid = t.oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
        AND i.indnkeyatts = 1 AND i.indkey[0] = k.attnum)::text,
    EXISTS (SELECT 1 FROM pg_catalog.pg_index AS i
      WHERE i.indrelid = t.oid AND i.indisunique AND a.attnum = ANY (i.indkey) AND NOT k.attnum = ANY (i.indkey))::text
  FROM (SELECT ?::text AS id, to_regclass(?)::oid AS oid) AS t
  LEFT JOIN pg_catalog.pg_attribute AS k ON k.attrelid = t.oid AND k.attname = t.id
  LEFT JOIN pg_catalog.pg_class AS c ON c.oid = t.oid
  LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_catalog.pg_type AS y ON y.oid = a.atttypid
  ORDER BY a.attnum`

/** Any other kind is a table or a partitioned table. */
const INSTEAD: Readonly<Record<string, string>> = {
  v: 'a view',
  m: 'a materialized view',
  f: 'a foreign table',
  S: 'a sequence',
  c: 'a type',
  i: 'an index',
  I: 'an index'
}

/** Returns what {@link DESCRIBE} found, from its rows. */
export function foundTable(rows: readonly (readonly unknown[])[], { schemaName }: TableDefinition): FoundTable | null {
  const [[, kind, schema, , , , , , hasUniqueId] = []] = rows
  if (kind === null || kind === undefined) return null
  const columns = rows.flatMap(([, , , name, type, isGenerated, isNotNull, hasDefault, , isInOtherKey]) => {
    if (name === null) return []
    const shown = isGenerated === 'true' ? `${type} generated always` : String(type)
    const isNullable = isNotNull === 'false'
    const isRequired = !isNullable && hasDefault === 'false'
    return [{ name: String(name), type: shown, holds: holdingOf(shown), isNullable, isRequired, isInOtherKey: isInOtherKey === 'true' }]
  })
  return {
    columns,
    hasUniqueId: hasUniqueId === 'true',
    instead: INSTEAD[String(kind)],
    otherSchema: schema === null || schemaName !== undefined ? undefined : String(schema)
  }
}

const BITS: Readonly<Record<string, number>> = { smallint: 16, integer: 32, bigint: 64 }

/**
 * What a type holds, by its name as format_type writes it. character(n) holds nothing for us, because it returns texts filled up with
 * spaces.
 */
export function holdingOf(type: string): Holding {
  if (type === 'text' || type === 'character varying') return { characters: Number.POSITIVE_INFINITY }
  const [, length] = /^character varying\((\d+)\)$/.exec(type) ?? []
  if (length !== undefined) return { characters: Number(length) }
  const bits = BITS[type]
  return bits === undefined ? {} : { bits }
}
