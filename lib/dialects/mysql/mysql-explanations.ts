import {
  CERTIFICATE_EXPIRED,
  DISK_FULL,
  type Explanations,
  MISSING_DATABASE,
  NETWORK,
  NO_SSL,
  NOT_TRUSTED,
  OTHER_HOST_NAME,
  TOO_MANY_CONNECTIONS
} from '../explanations'

export const NO_INNODB =
  'the sessions table needs the engine InnoDB, and the server makes no table of it (settings enforce_storage_engine and disabled_storage_engines); allow InnoDB there, or let another user create the table'
const WRONG_PASSWORD =
  'the password is wrong or missing (if the driver says "using password: NO", none was given), there is no such user for this host, or the user must use SSL (REQUIRE SSL; set ssl). Correct user, password and ssl in the connection of the Knex configuration, or the account: ALTER USER … IDENTIFIED BY …'

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
      1104: 'the connection lets a statement read too few rows (max_join_size, sql_big_selects); set sql_big_selects = 1 on it'
    },
    // EE_WRITE and the like, of the binary log: ENOSPC is 28 everywhere, and only the text has it.
    byText: [[/errno: 28\b/, DISK_FULL]]
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
      1130: 'the server has no user that may connect from this host; create one: CREATE USER …@this_host',
      // ER_NOT_SUPPORTED_AUTH_MODE
      1251: 'the driver does not support the way in which this user signs in; use the client mysql2 for Knex',
      // ER_SECURE_TRANSPORT_REQUIRED
      3159: 'the server requires SSL; set ssl in the connection of the Knex configuration',
      HANDSHAKE_NO_SSL_SUPPORT: NO_SSL
    },
    // mysql2 gives whatever fails in TLS the code HANDSHAKE_SSL_ERROR, and Node's own words.
    byText: [
      [/self-signed certificate|unable to (verify the first certificate|get (local )?issuer certificate)/, NOT_TRUSTED],
      [/certificate has expired/, CERTIFICATE_EXPIRED],
      [/does not match certificate's altnames/, OTHER_HOST_NAME]
    ]
  },
  readOnly:
    'it is a replica, the server is set to read-only, or the statement was in a read-only transaction; give the store a Knex of the primary'
}
