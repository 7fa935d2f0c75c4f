/**
 * The events of a store, with the arguments of their listeners. No event carries a session id, session data or the value of a key. An event
 * is emitted after the call has its result. As with every EventEmitter, an error that a listener throws is an uncaught exception: a listener has
 * to catch its own errors.
 */
export interface SessionStoreEvents {
  /** Another request changed the session after this request had loaded it. */
  conflict: [event: ConflictEvent]
  /** A write was dropped, because its session was destroyed or expired after it was loaded. The session stays dead. */
  dropped: [event: DroppedEvent]
  /** A row could not be decoded, or holds no session. The call that read it found no session. */
  unreadable: [event: UnreadableEvent]
}

/** The argument of the event `conflict`. */
export interface ConflictEvent {
  /** The option `conflict` of the store: what was done. */
  readonly policy: 'merge' | 'overwrite' | 'error'
  /**
   * The names of the keys that both requests changed to different values; the values of this request were taken. Empty for the policies
   * `overwrite` and `error`, which do not compare keys.
   */
  readonly keys: readonly string[]
}

/** The argument of the event `dropped`. */
export interface DroppedEvent {
  /** The call whose write was dropped. */
  readonly operation: 'set' | 'touch'
}

/** The argument of the event `unreadable`. */
export interface UnreadableEvent {
  /** Why the row cannot be read, in words, without anything of its content. */
  readonly reason: string
}

/** Emits an event of the store. */
export type Announce = <Name extends keyof SessionStoreEvents>(name: Name, ...event: SessionStoreEvents[Name]) => void
