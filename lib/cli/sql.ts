import type { Dialect } from '../dialects/dialect'
import { dialectOfClient } from '../dialects/drivers'
import type { TableDefinition } from '../dialects/table-definition'
import { resolveOptions } from '../options/store-options'
import { resolveTable } from '../options/table-options'
import { creationSql, SEPARATOR } from '../schema/sessions-table-sql'
import { type Command, type Context, textOption } from './command'
import { UsageError } from './command-errors'
import { CONNECTION, TABLE } from './common-options'
import { closeKnex } from './connect'
import { EXIT } from './exit-codes'
import { isPrintable } from './screen'
import { applicationOptions, configuredSite, tableOf } from './site'

export const sql: Command = {
  name: 'sql',
  about: 'Prints the statements that make the table',
  values: [],
  options: {
    client: { value: 'name', about: 'in place of a knexfile: the client that it would name' },
    unlogged: { about: 'keep the table out of the write-ahead log, where the database can' },
    'no-lz4': { about: 'for a server that refuses COMPRESSION lz4' },
    ...CONNECTION,
    ...TABLE
  },
  details: ['Makes no connection. The statements make the same table as the store and the migration.'],
  run: async (context: Context) => {
    const text = await statements(context)
    context.screen.verbatim({ ok: true, statements: text.split(SEPARATOR) }, ...`${text};`.split('\n'))
    return EXIT.fine
  }
}

async function statements(context: Context): Promise<string> {
  const { given, screen } = context
  const client = textOption(given, 'client')
  const lz4 = given.options['no-lz4'] !== true
  const { dialect, table } = client === undefined ? await configured(context) : await ofClient(context, client)
  const { tableName, schemaName, columns } = table
  // Such a name is escaped before it is printed. The statement would then be about another name.
  if (!screen.isJson && ![tableName, schemaName ?? '', ...Object.values(columns)].every(isPrintable)) {
    throw new UsageError('a name of the table or of a column has a control character in it: --json prints the statements as they are')
  }
  const unlogged = given.options.unlogged === true
  if (unlogged && !dialect.supportsUnlogged) {
    throw new UsageError(`${dialect.name} cannot keep a table out of the write-ahead log: leave out --unlogged`)
  }
  return creationSql(dialect, { tableName, schemaName, columns, unlogged }, lz4)
}

/** The table to make, and the dialect of its statements. */
interface Target {
  readonly dialect: Dialect
  readonly table: TableDefinition
}

async function configured(context: Context): Promise<Target> {
  const { knex, given } = await configuredSite(context)
  try {
    return resolveOptions(given)
  } finally {
    await closeKnex(knex)
  }
}

async function ofClient({ system, given }: Context, client: string): Promise<Target> {
  const other = ['knexfile', 'env', 'url'].find((name) => given.options[name] !== undefined)
  if (other !== undefined) throw new UsageError(`give either --client or --${other}: each says which database it is for`)
  const dialect = dialectOfClient(client, { prepare: false, durability: 'all' })
  const { tableName, schemaName, columns } = { ...(await applicationOptions(given, system.cwd())), ...tableOf(given) }
  return {
    dialect,
    table: resolveTable({ ...(tableName !== undefined && { tableName }), schemaName, ...(columns !== undefined && { columns }) }, dialect)
  }
}
