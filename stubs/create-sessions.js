const { createSessionsTable, dropSessionsTable } = require('knex-session-store')

/** The table of your store: give it the same tableName, schemaName and columns, if you name any. */
const table = { version: 1 }

/** @param {import('knex').Knex} knex */
exports.up = (knex) => createSessionsTable(knex, table)

/** @param {import('knex').Knex} knex */
exports.down = (knex) => dropSessionsTable(knex, table)
