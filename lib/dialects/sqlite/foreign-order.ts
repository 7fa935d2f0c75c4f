import type { ForeignOrder } from '../dialect'

/** How a value of each type is bound. The driver binds every number as a real number, and texts that are no UTF-8 as other texts. */
const VALUES: Readonly<Record<string, string>> = { integer: 'CAST(? AS INTEGER)', text: 'CAST(? AS TEXT)' }

/** The order of a column whose values may be of different types: first numbers, then texts, then blobs. */
export function orderBy(column: string): ForeignOrder {
  return {
    place: [
      `typeof(${column})`,
      `CASE typeof(${column}) WHEN 'integer' THEN CAST(${column} AS TEXT) WHEN 'text' THEN CAST(${column} AS BLOB) ELSE ${column} END`
    ],
    // The plus sign: a CAST alone would convert the values of a column without a type before they are compared.
    after: ([type, value]) => ({ sql: `${column} > +${VALUES[String(type)] ?? '?'}`, bindings: [value] })
  }
}
