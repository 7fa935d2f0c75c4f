import type { Dialect } from '../dialects/dialect'
import { type ColumnNames, DEFAULT_COLUMNS, LAYOUT_VERSION, type TableDefinition } from '../dialects/table-definition'
import { InvalidOptionError } from '../errors'
import { refuseUnknown } from '../unknown-option'

/** Which table. The same for the store, for {@link createSessionsTable} and {@link dropSessionsTable}. */
export interface TableOptions {
  /** Name of the sessions table. @default 'sessions' */
  tableName?: string
  /** Schema of the table (SQLite: an attached database). It must exist. @default what the connection uses */
  schemaName?: string | undefined
  /** Other names for some of the columns. @default { id: 'id', data: 'data', expiresAt: 'expires_at', … } */
  columns?: Partial<ColumnNames>
}

/** The names of {@link TableOptions}. */
export const TABLE_OPTIONS = ['tableName', 'schemaName', 'columns'] as const

/** Checks the options that say which table it is. */
export function resolveTable(options: TableOptions, dialect: Dialect): TableDefinition {
  const name = (path: string, value: unknown, fallback: string): string => {
    if (value === undefined) return fallback
    const refusal = nameRefusal(value, dialect)
    if (refusal !== undefined) throw new InvalidOptionError(path, refusal, value)
    return value as string
  }
  const { columns = {} } = options
  if (typeof columns !== 'object' || columns === null || Array.isArray(columns)) {
    throw new InvalidOptionError('columns', 'an object that maps column keys to names', columns)
  }
  refuseUnknown(columns, Object.keys(DEFAULT_COLUMNS), 'columns.')
  const mapped = Object.entries(DEFAULT_COLUMNS).map(([key, fallback]) => [
    key,
    name(`columns.${key}`, (columns as Record<string, unknown>)[key], fallback)
  ])
  // Two names that differ in case alone are one to SQLite, MariaDB and MySQL.
  const names = mapped.map(([, column = '']) => column.toLowerCase())
  const twice = mapped.find((_, index) => names.indexOf(names[index] as string) !== index)
  if (twice !== undefined) throw new InvalidOptionError(`columns.${twice[0]}`, 'different from every other column', twice[1])
  refuseSchemaInName(options)
  return Object.freeze({
    tableName: name('tableName', options.tableName, 'sessions'),
    schemaName: options.schemaName === undefined ? undefined : name('schemaName', options.schemaName, ''),
    version: LAYOUT_VERSION,
    columns: Object.freeze(Object.fromEntries(mapped)) as ColumnNames
  })
}

/** `app.sessions` would be a table with a dot in its name, in the schema that the connection uses. With a schema, a dot is no mistake. */
function refuseSchemaInName({ tableName, schemaName }: TableOptions): void {
  const [schema = '', ...rest] = typeof tableName === 'string' && schemaName === undefined ? tableName.split('.') : []
  if (rest.length === 0) return
  const advice = `; the schema is an option of its own: schemaName: '${schema}', tableName: '${rest.join('.')}'`
  throw new InvalidOptionError('tableName', 'a name without a dot, unless schemaName is given', tableName, advice)
}

function nameRefusal(value: unknown, dialect: Dialect): string | undefined {
  if (typeof value !== 'string' || value === '') return 'a name, a string that is not empty'
  // Knex takes a question mark for a binding, in quotes too.
  if (value.includes('?') || value.includes('\0')) return 'a name without a question mark and without the character NUL (U+0000)'
  // It would be sent as another character.
  if (!value.isWellFormed()) return 'well-formed Unicode (it has half of a surrogate pair)'
  return dialect.refusal(value)
}
