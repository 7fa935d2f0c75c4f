import { DISK_FULL, type Explanations } from '../explanations'

const NO_FOLDER =
  'the folder of the database file does not exist; create it, or correct filename in the connection of the Knex configuration (a relative one begins at the working directory of the process)'
const NOT_ATTACHED =
  'no database is attached under the name given as option schemaName; leave schemaName out, or attach one for each connection (pool.afterCreate of the Knex configuration: ATTACH DATABASE … AS …)'
const REBUILD =
  'the driver is not made for this Node or this system; install it anew with the Node that runs the application: npm rebuild better-sqlite3'
const NOT_OPENED =
  'the file, or one that SQLite keeps beside it (-wal, -shm, -journal), cannot be opened: filename is a folder or does not exist, or this process may not read and write there; correct filename in the connection of the Knex configuration, or the permissions of file and folder'
const NOT_A_DATABASE =
  'the file is no SQLite database, or an encrypted one; correct filename in the connection of the Knex configuration, or move the file away, and a new one is made'
const DAMAGED = 'the database file is damaged; restore it from a backup, or move it away (PRAGMA integrity_check tells more)'
const DISK_FAILS =
  'the disk of the database file fails or is full, or the file was moved or removed under the process; see to the disk and restart the process'

export const SQLITE_EXPLANATIONS: Explanations = {
  statement: {
    byCode: {
      SQLITE_NOTADB: NOT_A_DATABASE,
      SQLITE_CORRUPT: DAMAGED,
      SQLITE_FULL: `${DISK_FULL}; or PRAGMA max_page_count bounds the file`,
      SQLITE_CANTOPEN: NOT_OPENED,
      SQLITE_IOERR: DISK_FAILS
    },
    byText: [[/unknown database|no such table: .*sqlite_master/, NOT_ATTACHED]]
  },
  connection: {
    byCode: {
      SQLITE_CANTOPEN: NOT_OPENED,
      SQLITE_NOTADB: NOT_A_DATABASE,
      SQLITE_IOERR: DISK_FAILS,
      ERR_DLOPEN_FAILED: REBUILD,
      MODULE_NOT_FOUND: REBUILD
    },
    byText: [
      [/directory does not exist/, NO_FOLDER],
      [/Could not locate the bindings file/, REBUILD]
    ]
  },
  readOnly:
    'the file or its folder may not be written by this process, or Knex opens it so (the options readonly and mode=ro); change the permissions of both (SQLite writes -wal or -journal beside the file), or the connection of the Knex configuration'
}
