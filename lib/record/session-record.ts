/** A row as stored: not decoded, dead or alive. */
export interface SessionRecord {
  readonly id: string
  readonly data: string
  /** Milliseconds since the epoch; what 0 and negative numbers mean is in expiry-columns.ts. */
  readonly expiresAt: number
  readonly revision: number
  readonly createdAt: number
}

/** A session to write whatever the table holds under its id. */
export interface RecordToPut {
  readonly id: string
  readonly data: string
  readonly expiresAt: number
  readonly ownerId: string | null
  readonly createdAt: number
}

/** A session to write if it is still at the revision that was loaded, and alive. */
export interface RecordToUpdate {
  readonly id: string
  readonly revision: number
  readonly data: string
  readonly expiresAt: number
  readonly ownerId: string | null
}

/** An expiry to renew. It is never brought forward: the later one stays. */
export interface RecordToTouch {
  readonly id: string
  readonly expiresAt: number
}
