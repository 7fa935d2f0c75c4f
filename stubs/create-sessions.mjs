import { createSessionsTable, dropSessionsTable } from 'knex-session-store'

/** The table of your store: give it the same tableName, schemaName and columns, if you name any. */
const table = { version: 1 }

/** @param {import('knex').Knex} knex */
export const up = (knex) => createSessionsTable(knex, table)

/** @param {import('knex').Knex} knex */
export const down = (knex) => dropSessionsTable(knex, table)
