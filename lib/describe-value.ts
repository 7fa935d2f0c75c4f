/** A value that must not be shown in a message, such as a key or a session: the message shows only its kind. */
export class Hidden {
  constructor(readonly value: unknown) {}
}

/** The value of an option as a message may show it: its kind, and its content if that is short and harmless. */
export function describeValue(value: unknown): string {
  if (value instanceof Hidden) return describeKind(value.value)
  // A connection string given in place of a Knex has a password in it.
  if (typeof value === 'string' && value.includes('://')) return 'a URL (string)'
  if (typeof value === 'string') return `${JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value)} (string)`
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return `${value} (${typeof value})`
  return describeKind(value)
}

function describeKind(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (typeof value !== 'object') return `a ${typeof value}`
  return Array.isArray(value) ? 'an array' : 'an object'
}
