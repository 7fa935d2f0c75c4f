import type { Dialect } from '../dialects/dialect'
import { LAYOUT_VERSION } from '../dialects/table-definition'
import { InvalidOptionError } from '../errors'
import type { TableOptions } from '../options/table-options'

/** Options of {@link createSessionsTable} and {@link dropSessionsTable}. */
export interface SessionsTableOptions extends TableOptions {
  /** The version of the layout, so that a migration keeps its meaning. @default 1, the only version so far */
  version?: 1
  /**
   * PostgreSQL only, for {@link createSessionsTable}: keeps the table out of the write-ahead log. Writes are about three times as fast. If the
   * server crashes, all sessions are lost, and a standby has none. @default false
   */
  unlogged?: boolean
}

/** Checks the options that a table is made with. Returns whether it is kept out of the write-ahead log. */
export function isUnlogged({ version = LAYOUT_VERSION, unlogged = false }: SessionsTableOptions, dialect: Dialect): boolean {
  if (version !== LAYOUT_VERSION) throw new InvalidOptionError('version', `${LAYOUT_VERSION}, the layout this release knows`, version)
  if (typeof unlogged !== 'boolean' || (unlogged && !dialect.supportsUnlogged)) {
    throw new InvalidOptionError('unlogged', dialect.supportsUnlogged ? 'true or false' : `false on ${dialect.name}`, unlogged)
  }
  return unlogged
}
