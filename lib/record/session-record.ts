/** A row of the sessions table, not decoded, dead or alive. */
export interface SessionRecord {
  readonly id: string
  readonly data: string
  /** Milliseconds since the epoch; what 0 and negative numbers mean is in expiry-columns.ts. */
  readonly expiresAt: number
  readonly revision: number
  readonly createdAt: number
  readonly ownerId: string | null
}

/** A session to write, whatever the table holds under its id. */
export interface RecordToPut {
  readonly id: string
  readonly data: string
  readonly expiresAt: number
  readonly ownerId: string | null
  readonly createdAt: number
}

/** Returns a row that holds no session, with data in JSON as in every row. It keeps others from writing a session under its id. */
export function emptyRow(id: string, expiresAt: number, now: number): RecordToPut {
  return { id, data: '{}', expiresAt, ownerId: null, createdAt: now }
}

/** A session to write only if its row is alive and still at this revision. */
export interface RecordToUpdate {
  readonly id: string
  readonly revision: number
  readonly data: string
  readonly expiresAt: number
  readonly ownerId: string | null
}

/** The same where the life of the session changes otherwise than by being renewed. */
export interface RecordToUpdateWithLife extends RecordToUpdate {
  /** True if the row gets exactly this expiry, even if the row's own is later. */
  readonly isExpiryExact: boolean
  /** When the session begins anew; null if it does not. */
  readonly createdAt: number | null
}

/** An expiry to renew. If the row already has a later one, that stays. */
export interface RecordToTouch {
  readonly id: string
  readonly expiresAt: number
}
