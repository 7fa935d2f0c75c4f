import { DISK_FULL, type Explanations } from '../explanations'

const NO_FOLDER =
  'the folder of the database file does not exist; create it, or correct filename in the connection of the Knex configuration (a relative path starts at the working directory of the process)'
const NOT_ATTACHED =
  'no database is attached under the name that the option schemaName gives; leave schemaName out, or attach a database of that name to each connection (pool.afterCreate of the Knex configuration: ATTACH DATABASE … AS …)'
const REBUILD =
  'the driver was built for another Node or another system, or was not built; build it with the Node that runs the application: npm rebuild better-sqlite3'
const NOT_OPENED =
  'the file, or one that SQLite keeps beside it (-wal, -shm, -journal), cannot be opened: filename is a folder or does not exist, or this process may not read and write there; correct filename in the connection of the Knex configuration, or the permissions of file and folder'
const NOT_A_DATABASE =
  'the file is not an SQLite database, or it is encrypted; correct filename in the connection of the Knex configuration, or move the file away, and the driver makes a new one'
const DAMAGED = 'the database file is damaged; restore it from a backup, or move it away (PRAGMA integrity_check tells more)'
const DISK_FAILS =
  'the disk of the database file fails or is full, or the file was moved or deleted while the process used it; check the disk, then restart the process'

export const SQLITE_EXPLANATIONS: Explanations = {
  statement: {
    byCode: {
      SQLITE_NOTADB: NOT_A_DATABASE,
      SQLITE_CORRUPT: DAMAGED,
      SQLITE_FULL: `${DISK_FULL}. If the disk is not full, PRAGMA max_page_count limits the size of the file: raise it`,
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
    'this process may not write the file or its folder, or Knex opens the file for reading alone (the options readonly and mode=ro); change the permissions of both (SQLite writes -wal or -journal beside the file), or the connection of the Knex configuration'
}
