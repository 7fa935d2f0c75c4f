import { SessionStoreError } from '../errors'

/** A statement in a unit of work that was committed or rolled back before: something was not awaited. */
export class UnitEndedError extends SessionStoreError {
  readonly code = 'ERR_SESSION_UNIT_ENDED'

  /** @param how the state of the unit */
  constructor(how: string) {
    super(
      `this unit of work has ended: it ${how === 'ending' ? 'is being ended' : `was ${how}`}. Await everything before the response or the function ends, or use work.outside() for what may come later`
    )
  }
}

/** A statement outside of any unit of work, where the option `outsideUnit: 'throw'` forbids it. */
export class NoUnitError extends SessionStoreError {
  readonly code = 'ERR_SESSION_NO_UNIT'

  constructor() {
    super(
      "there is no unit of work here, and outsideUnit is 'throw': use the middleware, work.run() or work.job(), or work.outside() where none is wanted"
    )
  }
}

/** A statement of the unit failed before, so all it can do is roll back. `cause` is the error of that statement. */
export class RollbackOnlyError extends SessionStoreError {
  readonly code = 'ERR_SESSION_ROLLBACK_ONLY'

  constructor(cause: unknown) {
    super(
      'a statement failed before, so this unit of work can only be rolled back (see cause). Put a statement that may fail into work.db.transaction(): its failure undoes that part alone',
      { cause }
    )
  }
}

/** `work.db.transaction()` without a function gave a transaction that was still open when its unit of work was to be committed. */
export class NestedStillOpenError extends SessionStoreError {
  readonly code = 'ERR_SESSION_NESTED_STILL_OPEN'

  constructor(count: number) {
    super(
      `${count} nested transaction${count > 1 ? 's' : ''} of this unit of work neither committed nor rolled back, so the unit was rolled back; call commit() or rollback() on each, or give work.db.transaction() a function, which ends it by itself`
    )
  }
}

/** A nested transaction was rolled back, and with it a statement of its unit of work that ran at the same time. */
export class UndoneByNestedError extends SessionStoreError {
  readonly code = 'ERR_SESSION_UNDONE_BY_NESTED'

  constructor() {
    super(
      'a statement of this unit of work was undone, because it ran while a nested transaction was open, and that transaction was rolled back. Await the nested transaction before the statement, or run the statement inside it'
    )
  }
}

/** `session: 'atomic'` where the session cannot be saved in the transaction. */
export class AtomicSessionError extends SessionStoreError {
  readonly code = 'ERR_SESSION_NOT_ATOMIC'
}

/** The middleware or plugin stands on the wrong side of the one that makes the session. */
export class SessionOrderError extends SessionStoreError {
  readonly code = 'ERR_SESSION_ORDER'
}

/** The response was decided already: nothing can be changed any more while the unit of work is being committed. */
export class ResponseDecidedError extends SessionStoreError {
  /** That of Node itself, which error handlers look for. */
  readonly code = 'ERR_HTTP_HEADERS_SENT'

  constructor(what: string) {
    super(`Cannot ${what} headers after they are sent to the client`)
  }
}

/** Two-phase commit where the database, or the transaction, does not offer it. */
export class TwoPhaseUnsupportedError extends SessionStoreError {
  readonly code = 'ERR_SESSION_TWO_PHASE_UNSUPPORTED'
}

/** The server has two-phase commit, but its configuration allows none. */
export class TwoPhaseDisabledError extends SessionStoreError {
  readonly code = 'ERR_SESSION_TWO_PHASE_DISABLED'

  constructor(setting: string, cause: unknown) {
    super(`this server keeps no prepared transactions: set ${setting} above 0 in its configuration and restart it`, { cause })
  }
}

/** The id given for a two-phase commit is taken, or the unit of work was begun under another. */
export class XidConflictError extends SessionStoreError {
  readonly code = 'ERR_SESSION_XID_CONFLICT'
}

/** No transaction is prepared under this id: it was finished already, or never prepared. */
export class UnknownXidError extends SessionStoreError {
  readonly code = 'ERR_SESSION_UNKNOWN_XID'

  constructor(xid: string, cause: unknown) {
    super(
      `no transaction is prepared under ${JSON.stringify(xid)}: it was finished already, or never prepared; work.recover() lists what is prepared`,
      { cause }
    )
  }
}
