import type { ColumnNames, TableDefinition } from './table-definition'

/** Which values a column takes: texts up to a number of characters, whole numbers up to a number of bits, both, or neither. */
export interface Holding {
  readonly characters?: number
  readonly bits?: number
}

/** A column as it is in the database. */
export interface FoundColumn {
  readonly name: string
  /** The type as the database writes it, for messages. */
  readonly type: string
  readonly holds: Holding
  readonly isNullable: boolean
  /** True if an INSERT has to name the column, because it takes no NULL and has no default. */
  readonly isRequired: boolean
  /** True if the column is part of a unique key that does not contain the id. */
  readonly isInOtherKey: boolean
}

/** A table as it is in the database, or whatever else has its name. */
export interface FoundTable {
  readonly columns: readonly FoundColumn[]
  /** Whether a unique key has the column of the ids and no other. Undefined if that is not known. */
  readonly hasUniqueId: boolean | undefined
  /** What has the name instead of a table: "a view". */
  readonly instead?: string | undefined
  /** The schema in which it was found, if that is neither the named schema nor the one in which a table would be made. */
  readonly otherSchema?: string | undefined
}

/** What a column has to hold, and the words for it in a message. */
export interface Need {
  readonly holds: Holding
  readonly words: string
}

/**
 * A smaller type would cut off sessions. This is the size of the second largest type of MariaDB, more than its server takes in one
 * statement.
 */
const LARGE = 2 ** 24 - 1

const MOMENT: Need = { holds: { bits: 64 }, words: 'a bigint (64 bits)' }
const NUMBER: Need = { holds: { bits: 32 }, words: 'an integer of at least 32 bits' }
const NAME: Need = { holds: { characters: 255 }, words: 'text of at least 255 characters' }

/** Every column that is not named here holds a moment. */
const NEEDS: Partial<Record<keyof ColumnNames, Need>> = {
  id: NAME,
  data: { holds: { characters: LARGE }, words: 'text without a limit' },
  expiresHour: NUMBER,
  revision: NUMBER,
  ownerId: NAME
}

/** The columns that the table has to have, by name, and what each has to hold. */
export function neededColumns({ columns }: TableDefinition): (Need & { readonly key: string; readonly name: string })[] {
  return Object.entries(columns).map(([key, name]) => ({ ...(NEEDS[key as keyof ColumnNames] ?? MOMENT), key, name }))
}

export function isEnough(found: Holding, needed: Holding): boolean {
  return (found.characters ?? 0) >= (needed.characters ?? 0) && (found.bits ?? 0) >= (needed.bits ?? 0)
}
