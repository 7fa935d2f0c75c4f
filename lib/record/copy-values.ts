/**
 * Replaces each value of the session with a deep copy, in place, so that the application's later changes have no effect. Copies plain
 * objects, arrays, dates, maps and sets. Instances of other classes cannot be copied and stay as they are.
 */
export function copyValues(session: object): void {
  const copies = new Map<object, unknown>()
  for (const [key, value] of Object.entries(session)) define(session, key, copyOf(value, copies))
}

function copyOf(value: unknown, copies: Map<object, unknown>): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (copies.has(value)) return copies.get(value)
  if (Array.isArray(value)) {
    const copy: unknown[] = []
    copies.set(value, copy)
    for (const item of value) copy.push(copyOf(item, copies))
    return copy
  }
  if (value instanceof Date) return new Date(value)
  if (value instanceof Map) {
    const copy = new Map()
    copies.set(value, copy)
    for (const [key, item] of value) copy.set(copyOf(key, copies), copyOf(item, copies))
    return copy
  }
  if (value instanceof Set) {
    const copy = new Set()
    copies.set(value, copy)
    for (const item of value) copy.add(copyOf(item, copies))
    return copy
  }
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== null && prototype !== Object.prototype) return value
  const copy: object = Object.create(prototype)
  copies.set(value, copy)
  for (const [key, item] of Object.entries(value)) define(copy, key, copyOf(item, copies))
  return copy
}

/** A key named `__proto__` stays a key. */
function define(object: object, key: string, value: unknown): void {
  Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true })
}
