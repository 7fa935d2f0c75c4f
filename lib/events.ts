/**
 * Events of the store, with what their listeners are given. No session id, data or key's value is in any of them. They are emitted after the
 * call has its result. As with every EventEmitter, what a listener throws is an uncaught exception: a listener has to catch its own errors.
 */
export interface SessionStoreEvents {
  /** Another request changed the session meanwhile. `keys` were changed on both sides; this request's values were taken. */
  conflict: [event: ConflictEvent]
  /** A write was dropped because its session was destroyed or has expired meanwhile: it is not brought back. */
  dropped: [event: DroppedEvent]
  /** A row could not be decoded, or is not a session. It was answered as "no session". */
  unreadable: [event: UnreadableEvent]
}

export interface ConflictEvent {
  readonly policy: 'merge' | 'overwrite' | 'error'
  /** Names of the keys that both sides changed, to different values; only with the policy `merge`, which looks at them. */
  readonly keys: readonly string[]
}

export interface DroppedEvent {
  readonly operation: 'set' | 'touch'
}

export interface UnreadableEvent {
  readonly reason: string
}

/** Tells the listeners of the store. */
export type Announce = <Name extends keyof SessionStoreEvents>(name: Name, ...event: SessionStoreEvents[Name]) => void
