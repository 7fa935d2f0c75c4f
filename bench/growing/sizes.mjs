import { sqliteDatabase } from '../stores/connections.mjs'

/** The bytes of a table and of each of its indexes. */
export async function sizesOf({ knex, file }, server, tableName) {
  const { table, indexes } = await sizes[server](knex, tableName, file)
  return { table, indexes, total: table + Object.values(indexes).reduce((sum, bytes) => sum + bytes, 0) }
}

const sizes = {
  async pg(knex, tableName) {
    const { rows } = await knex.raw(
      // A partitioned table or index has no pages of its own: those of its partitions are added up.
      `WITH parts AS (
         SELECT t.oid AS parent, NULL AS name, t.oid AS part FROM pg_class t WHERE t.oid = ?::regclass
         UNION SELECT t.oid, NULL, p.relid FROM pg_class t, pg_partition_tree(t.oid) p WHERE t.oid = ?::regclass
         UNION SELECT i.indexrelid, replace(c.relname, t.relname || '_', ''), i.indexrelid
           FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid WHERE i.indrelid = ?::regclass
         UNION SELECT i.indexrelid, replace(c.relname, t.relname || '_', ''), p.relid
           FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid, pg_partition_tree(i.indexrelid) p
           WHERE i.indrelid = ?::regclass)
       SELECT name, sum(CASE WHEN name IS NULL THEN pg_table_size(part) ELSE pg_relation_size(part) END)::float8 AS bytes
       FROM parts GROUP BY parent, name ORDER BY name NULLS FIRST`,
      [tableName, tableName, tableName, tableName]
    )
    return split(rows)
  },
  /** InnoDB keeps the rows in the primary key; what the server knows of the sizes is an estimate. */
  async mysql(knex, tableName) {
    await knex.raw('ANALYZE TABLE ??', [tableName])
    const [rows] = await knex.raw(
      `SELECT IF(index_name = 'PRIMARY', NULL, index_name) AS name, stat_value * @@innodb_page_size AS bytes
       FROM mysql.innodb_index_stats WHERE database_name = DATABASE() AND table_name = ? AND stat_name = 'size' ORDER BY 1`,
      [tableName]
    )
    return split(rows)
  },
  async sqlite(_knex, tableName, file) {
    const database = sqliteDatabase(file)
    const rows = database
      .prepare(
        `SELECT NULLIF(m.name, m.tbl_name) AS name, count(*) * (SELECT page_size FROM pragma_page_size) AS bytes
         FROM dbstat AS s JOIN sqlite_master AS m ON m.name = s.name WHERE m.tbl_name = ? GROUP BY m.name ORDER BY 1`
      )
      .all(tableName)
    database.close()
    return split(rows)
  }
}

function split(rows) {
  const [table, ...indexes] = rows.map(({ name, bytes }) => [name, Number(bytes)])
  return { table: table[1], indexes: Object.fromEntries(indexes) }
}
