import type { Dialect } from '../dialects/dialect'
import { type FoundTable, isEnough, neededColumns } from '../dialects/found-table'
import { displayName, type TableDefinition } from '../dialects/table-definition'
import { makerOf } from '../dialects/table-makers'
import { ForeignTableError } from '../errors'
import type { Database } from '../knex/database'

/**
 * Returns whether the table exists. A table is ours by its structure: all columns exist and can hold what the store writes, and an INSERT
 * that names only these columns works.
 *
 * @throws {ForeignTableError} if the table of that name is not ours
 */
export async function isOwnTableThere(db: Database, dialect: Dialect, table: TableDefinition): Promise<boolean> {
  const found = await dialect.describe(db, table)
  if (found === null) return false
  refuseForeign(found, dialect, table)
  return true
}

function refuseForeign(found: FoundTable, dialect: Dialect, table: TableDefinition): void {
  const isColumn = (name: string) => (column: { readonly name: string }) => dialect.isSameColumn(column.name, name)
  const needed = neededColumns(table)
  const missing = needed.filter(({ name }) => !found.columns.some(isColumn(name))).map(({ name }) => name)
  const wrong = needed.flatMap(({ name, holds, words }) => {
    const column = found.columns.find(isColumn(name))
    return column === undefined || isEnough(column.holds, holds) ? [] : [{ name: column.name, type: column.type, needed: words }]
  })
  const faults: string[] = []
  if (found.instead !== undefined) faults.push(`it is ${found.instead}`)
  else if (missing.length === 0) {
    const { id, ownerId } = table.columns
    if (found.hasUniqueId === false) faults.push(`its column ${id} has no primary key or unique key of its own`)
    const owner = found.columns.find(isColumn(ownerId))
    if (owner?.isNullable === false) faults.push(`its column ${ownerId} is NOT NULL, but sessions without an owner are stored too`)
    for (const { name } of found.columns.filter((column) => column.isInOtherKey && needed.some(({ name }) => isColumn(name)(column)))) {
      faults.push(
        `its column ${name} is in a unique key without ${id}, so two sessions could not have the same value: drop that key or index`
      )
    }
    for (const { name } of found.columns.filter((column) => column.isRequired && !needed.some(({ name }) => isColumn(name)(column)))) {
      faults.push(`its column ${name} is NOT NULL and has no default, and the store does not fill it: let it be NULL, or give it a default`)
    }
  }
  if (missing.length === 0 && wrong.length === 0 && faults.length === 0) return
  const names = found.columns.map(({ name }) => name)
  throw new ForeignTableError(displayName(table), {
    missing,
    wrong,
    faults,
    found: names,
    maker: makerOf(names),
    schema: found.otherSchema
  })
}
