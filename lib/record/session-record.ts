/** A row of the sessions table, not decoded, dead or alive. */
export interface SessionRecord {
  readonly id: string
  readonly data: string
  /** Milliseconds since the epoch; what 0 and negative numbers mean is in expiry-columns.ts. */
  readonly expiresAt: number
  readonly revision: number
  readonly createdAt: number
}

/** A session to write, whatever the table holds under its id. */
export interface RecordToPut {
  readonly id: string
  readonly data: string
  readonly expiresAt: number
  readonly ownerId: string | null
  readonly createdAt: number
}

/** A session to write only if its row is alive and still at this revision. */
export interface RecordToUpdate {
  readonly id: string
  readonly revision: number
  readonly data: string
  readonly expiresAt: number
  readonly ownerId: string | null
}

/** An expiry to renew. If the row already has a later one, that stays. */
export interface RecordToTouch {
  readonly id: string
  readonly expiresAt: number
}
