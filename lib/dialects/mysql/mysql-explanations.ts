import { DISK_FULL, type Explanations, MISSING_DATABASE, NETWORK, NO_SSL, TOO_MANY_CONNECTIONS } from '../explanations'

export const NO_INNODB =
  'the server makes no table of the engine InnoDB (its settings enforce_storage_engine and disabled_storage_engines), which the sessions table needs; allow it, or have the table made by a user who may'
const WRONG_PASSWORD =
  'the password is wrong or missing (if the driver says "using password: NO", none was given), there is no such user for this host, or the user is required to use SSL (REQUIRE SSL; set ssl). Correct user, password and ssl in the connection of the Knex configuration, or the account: ALTER USER … IDENTIFIED BY …'

export const MYSQL_EXPLANATIONS: Explanations = {
  statement: {
    byCode: {
      // ER_DISK_FULL, ER_RECORD_FILE_FULL
      1021: DISK_FULL,
      1114: DISK_FULL,
      // ER_UNKNOWN_STORAGE_ENGINE, ER_DISABLED_STORAGE_ENGINE
      1286: NO_INNODB,
      3161: NO_INNODB,
      // ER_NO_DB_ERROR
      1046: 'no database is chosen; set database in the connection of the Knex configuration',
      // ER_TOO_BIG_SELECT
      1104: 'the connection allows a statement too few rows (max_join_size, sql_big_selects); set sql_big_selects = 1 on it'
    },
    byText: []
  },
  connection: {
    byCode: {
      ...NETWORK,
      // ER_CON_COUNT_ERROR, ER_TOO_MANY_USER_CONNECTIONS, ER_USER_LIMIT_REACHED
      1040: TOO_MANY_CONNECTIONS,
      1203: TOO_MANY_CONNECTIONS,
      1226: TOO_MANY_CONNECTIONS,
      // ER_DBACCESS_DENIED_ERROR
      1044: 'the user may not use this database, or it does not exist; correct database in the connection of the Knex configuration, or run: GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON the_database.* TO …',
      // ER_ACCESS_DENIED_ERROR, ER_ACCESS_DENIED_NO_PASSWORD_ERROR
      1045: WRONG_PASSWORD,
      1698: WRONG_PASSWORD,
      // ER_BAD_DB_ERROR
      1049: MISSING_DATABASE,
      // ER_HOST_IS_BLOCKED
      1129: 'the server has blocked this host after many failed connections; run there: FLUSH HOSTS',
      // ER_HOST_NOT_PRIVILEGED
      1130: 'no user of the server may connect from this host; make an account for it: CREATE USER …@this_host',
      // ER_NOT_SUPPORTED_AUTH_MODE
      1251: 'the driver does not know how this user signs in; use the client mysql2 for Knex',
      // ER_SECURE_TRANSPORT_REQUIRED
      3159: 'the server requires SSL; set ssl in the connection of the Knex configuration',
      HANDSHAKE_NO_SSL_SUPPORT: NO_SSL
    },
    byText: []
  },
  readOnly:
    'it is a replica, the server is set to read-only, or the statement was in a read-only transaction; give the store a Knex of the primary'
}
