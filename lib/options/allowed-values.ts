import type { SessionCodec } from '../record/codec'
import { HASH_LENGTH, ID_LENGTH } from '../record/stored-id'

export const MAX_PREFIX = ID_LENGTH - HASH_LENGTH
/** Ten years. More than that is a number of milliseconds by mistake. */
export const MAX_SECONDS = 315_360_000
/** Longer delays overflow Node's timers, which then fire at once. */
export const MAX_DELAY_MS = 2_147_483_647

export const isBoolean = (value: unknown) => typeof value === 'boolean'
export const isFunction = (value: unknown) => typeof value === 'function'
export const isPositive = (value: unknown) => typeof value === 'number' && value > 0
export const isDurability = (value: unknown) => value === 'all' || value === 'sets' || value === 'none'
export const isUnreadablePolicy = (value: unknown) => value === 'no-session' || value === 'error'
export const isNotNegative = (value: unknown) => typeof value === 'number' && value >= 0
export const isDelay = (value: unknown) => typeof value === 'number' && value > 0 && value <= MAX_DELAY_MS
export const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 1
export const isSeconds = (value: unknown) => value === Number.POSITIVE_INFINITY || (isPositive(value) && (value as number) <= MAX_SECONDS)
export const isTtl = (value: unknown) => isFunction(value) || isSeconds(value)
export const isConflictPolicy = (value: unknown) => value === 'merge' || value === 'overwrite' || value === 'error'
export const isCodec = (value: unknown) =>
  typeof value === 'object' && value !== null && isFunction((value as SessionCodec).encode) && isFunction((value as SessionCodec).decode)
export const isOtherStore = (value: unknown) => {
  const { get, destroy } = (value ?? {}) as { get?: unknown; destroy?: unknown }
  return isFunction(get) && isFunction(destroy)
}
export const isMigrationSource = (value: unknown) => {
  if (isOtherStore(value)) return true
  const { store, readOnly = false } = (value ?? {}) as { store?: unknown; readOnly?: unknown }
  return isOtherStore(store) && isBoolean(readOnly)
}
export const isPrefix = (value: unknown) =>
  typeof value === 'string' && value.length <= MAX_PREFIX && value.isWellFormed() && [...value].every((character) => character >= ' ')
