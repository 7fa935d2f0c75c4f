import { SessionStoreError } from '../errors'

/** A statement was made in a unit of work after its commit or rollback, usually because something was not awaited. */
export class UnitEndedError extends SessionStoreError {
  readonly code = 'ERR_SESSION_UNIT_ENDED'

  /** @param how the state of the unit */
  constructor(how: string) {
    super(
      `this unit of work has ended: it ${how === 'ending' ? 'is being ended' : `was ${how}`}. Await everything before the response or the function ends, or use work.outside() for what may come later`
    )
  }
}

/** A statement was made outside of any unit of work, and the option `outsideUnit: 'throw'` forbids it. */
export class NoUnitError extends SessionStoreError {
  readonly code = 'ERR_SESSION_NO_UNIT'

  constructor() {
    super(
      "there is no unit of work here, and outsideUnit is 'throw': use the middleware, work.run() or work.job(), or work.outside() where none is wanted"
    )
  }
}

/** A statement of the unit failed before, so the unit can only be rolled back. `cause` is the error of that statement. */
export class RollbackOnlyError extends SessionStoreError {
  readonly code = 'ERR_SESSION_ROLLBACK_ONLY'

  constructor(cause: unknown) {
    super(
      'a statement failed before, so this unit of work can only be rolled back (see cause). Put a statement that may fail into work.db.transaction(): its failure undoes that part alone',
      { cause }
    )
  }
}

/** A transaction of `work.db.transaction()` without a function was still open when its unit of work was about to commit. */
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

/** With `session: 'atomic'`, the session cannot be saved in the transaction. */
export class AtomicSessionError extends SessionStoreError {
  readonly code = 'ERR_SESSION_NOT_ATOMIC'
}

/** The middleware or plugin is mounted on the wrong side of the one that makes the session. */
export class SessionOrderError extends SessionStoreError {
  readonly code = 'ERR_SESSION_ORDER'
}

/** The response was decided already: nothing can be changed any more while the unit of work is being committed. */
export class ResponseDecidedError extends SessionStoreError {
  /** The same code as Node's own error, which error handlers may check. */
  readonly code = 'ERR_HTTP_HEADERS_SENT'

  constructor(what: string) {
    super(`Cannot ${what} headers after they are sent to the client`)
  }
}

/** The database, or this transaction, does not support two-phase commit. */
export class TwoPhaseUnsupportedError extends SessionStoreError {
  readonly code = 'ERR_SESSION_TWO_PHASE_UNSUPPORTED'
}

/** The server supports two-phase commit, but its configuration does not allow any. */
export class TwoPhaseDisabledError extends SessionStoreError {
  readonly code = 'ERR_SESSION_TWO_PHASE_DISABLED'

  constructor(setting: string, cause: unknown) {
    super(`this server keeps no prepared transactions: set ${setting} above 0 in its configuration and restart it`, { cause })
  }
}

/** The id for a two-phase commit is in use, or the unit of work has begun with another id. */
export class XidConflictError extends SessionStoreError {
  readonly code = 'ERR_SESSION_XID_CONFLICT'
}

/** No transaction is prepared under this id. It was finished before, or never prepared. */
export class UnknownXidError extends SessionStoreError {
  readonly code = 'ERR_SESSION_UNKNOWN_XID'

  constructor(xid: string, cause: unknown) {
    super(
      `no transaction is prepared under ${JSON.stringify(xid)}: it was finished already, or never prepared; work.recover() lists what is prepared`,
      { cause }
    )
  }
}
