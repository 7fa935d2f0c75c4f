import type { Knex } from 'knex'
import { createSessionsTable, dropSessionsTable, type SessionsTableOptions } from 'knex-session-store'

/** The table of your store: give it the same tableName, schemaName and columns, if you name any. */
const table: SessionsTableOptions = { version: 1 }

export const up = (knex: Knex): Promise<void> => createSessionsTable(knex, table)

export const down = (knex: Knex): Promise<void> => dropSessionsTable(knex, table)
