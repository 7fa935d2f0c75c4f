import type { FoundColumn, FoundTable, Holding } from '../found-table'

/**
 * A column of a result, as the drivers describe it. Where a pair of properties means the same, the second has the name of the newer driver.
 */
export interface Field {
  readonly name: string
  readonly type?: number
  readonly columnType?: number
  /** The length in bytes, in the character set in which texts are returned. */
  readonly length?: number
  readonly columnLength?: number
  readonly charsetNr?: number
  readonly characterSet?: number
  readonly flags: number
}

/** Selected after all columns. It tells how many bytes the longest character takes in the character set in which texts are returned. */
export const ONE_CHARACTER = "CAST('' AS CHAR(1))"

// Of the protocol's flags: NOT_NULL, PRI_KEY, UNIQUE_KEY, UNSIGNED, ENUM, AUTO_INCREMENT, SET, NO_DEFAULT_VALUE
const NOT_NULL = 1
const PRIMARY = 2
const UNIQUE = 4
const UNSIGNED = 32
const AUTO_INCREMENT = 512
const ENUM_OR_SET = 256 | 2048
const NO_DEFAULT = 4096

/** The character set of columns that hold no text. */
const BINARY = 63

const INTEGERS: Readonly<Record<number, readonly [name: string, bits: number]>> = {
  1: ['tinyint', 8],
  2: ['smallint', 16],
  3: ['int', 32],
  8: ['bigint', 64],
  9: ['mediumint', 24]
}
const OTHERS: Readonly<Record<number, string>> = {
  4: 'float',
  5: 'double',
  7: 'timestamp',
  10: 'date',
  11: 'time',
  12: 'datetime',
  13: 'year',
  16: 'bit',
  245: 'json',
  246: 'decimal',
  255: 'geometry'
}
const BLOB = 252
const VARCHAR = 253
const CHAR = 254

/** The types of text and of bytes without a length of their own, by the most characters that they hold. */
const LARGE: readonly (readonly [most: number, prefix: string])[] = [
  [255, 'tiny'],
  [65_535, ''],
  [16_777_215, 'medium'],
  [Number.POSITIVE_INFINITY, 'long']
]

/**
 * Describes the table from a query that selects all its columns, with {@link ONE_CHARACTER} behind them. A view looks like the table that
 * it selects from. The server tells of a unique key only if it has one column.
 */
export function foundTable(fields: readonly Field[], id: string): FoundTable {
  const bytes = lengthOf(fields.at(-1) as Field)
  const shown = fields.slice(0, -1)
  const primary = shown.filter(({ flags }) => flags & PRIMARY)
  const isId = ({ name }: Field) => name.toLowerCase() === id.toLowerCase()
  return {
    columns: shown.map((field) => ({ ...foundColumn(field, bytes), isInOtherKey: !isId(field) && (field.flags & UNIQUE) !== 0 })),
    hasUniqueId: shown.some((field) => isId(field) && ((field.flags & PRIMARY && primary.length === 1) || field.flags & UNIQUE))
  }
}

function foundColumn(field: Field, bytes: number): Omit<FoundColumn, 'isInOtherKey'> {
  const { name, flags } = field
  const isNullable = !(flags & NOT_NULL)
  return { name, ...typeOf(field, bytes), isNullable, isRequired: (flags & NO_DEFAULT) !== 0 && !(flags & AUTO_INCREMENT) }
}

function typeOf(field: Field, bytes: number): { readonly type: string; readonly holds: Holding } {
  const { flags } = field
  const code = field.columnType ?? field.type ?? -1
  const [name, bits] = INTEGERS[code] ?? []
  if (name !== undefined && bits !== undefined) return { type: flags & UNSIGNED ? `${name} unsigned` : name, holds: { bits } }
  if (flags & ENUM_OR_SET) return { type: 'enum or set', holds: {} }
  const isBytes = (field.characterSet ?? field.charsetNr) === BINARY
  const characters = Math.floor(lengthOf(field) / (isBytes ? 1 : bytes))
  const type = textType(code, characters, isBytes)
  return type === undefined ? { type: OTHERS[code] ?? `of type ${code}`, holds: {} } : { type, holds: isBytes ? {} : { characters } }
}

function textType(code: number, length: number, isBytes: boolean): string | undefined {
  if (code === BLOB) return `${LARGE.find(([most]) => length <= most)?.[1]}${isBytes ? 'blob' : 'text'}`
  if (code === VARCHAR) return `${isBytes ? 'varbinary' : 'varchar'}(${length})`
  return code === CHAR ? `${isBytes ? 'binary' : 'char'}(${length})` : undefined
}

function lengthOf({ columnLength, length }: Field): number {
  return columnLength ?? length ?? 0
}
