import { describeValue, Hidden } from './describe-value'

export { describeValue, Hidden }

/**
 * The class of every error of this package. Compare `code`, which is stable, or use `instanceof`.
 *
 * No message contains a session id, session data or a secret. Errors of a database driver are wrapped: Knex puts bound values into their
 * messages, and express-session takes the driver code `ENOENT` for "no such session".
 */
export abstract class SessionStoreError extends Error {
  /** Stable identifier, `ERR_SESSION_…`. */
  abstract readonly code: string

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = new.target.name
  }

  /** The address of what explains this error. It is not in the message, which says what to do, nor an own property, which each log would repeat. */
  get url(): string {
    return `https://github.com/knex-session-store/knex-session-store/blob/main/docs/troubleshooting.md#${this.code.toLowerCase()}`
  }
}

/** An option is missing, misspelt or out of range. The message names the option, what is allowed and what was given. */
export class InvalidOptionError extends SessionStoreError {
  readonly code = 'ERR_SESSION_INVALID_OPTION'

  constructor(
    readonly option: string,
    allowed: string,
    given: unknown,
    advice = ''
  ) {
    super(`${option} must be ${allowed}, got ${describeValue(given)}${advice}`)
  }
}

/** An option that does not exist. The message suggests the one that was probably meant, or says what stands for another store's option. */
export class UnknownOptionError extends SessionStoreError {
  readonly code = 'ERR_SESSION_UNKNOWN_OPTION'

  constructor(
    readonly option: string,
    advice: string
  ) {
    super(`unknown option ${JSON.stringify(option)}${advice}`)
  }
}

/** The Knex client is for a database this package does not support. */
export class UnsupportedDatabaseError extends SessionStoreError {
  readonly code = 'ERR_SESSION_UNSUPPORTED_DATABASE'

  constructor(client: string, supported: string) {
    super(`this package does not support the Knex client ${JSON.stringify(client)}; make the Knex with one of these: ${supported}`)
  }
}

/** One field in which two definitions of the same sessions table differ. */
export interface DefinitionDifference {
  /** The name of the field: `columns.data`, say. */
  readonly field: string
  /** Its value in the definition that was registered first. */
  readonly registered: unknown
  /** Its value in the definition that was refused. */
  readonly given: unknown
}

/** The same table was registered in this process with another definition. */
export class SchemaConflictError extends SessionStoreError {
  readonly code = 'ERR_SESSION_SCHEMA_CONFLICT'

  constructor(
    readonly table: string,
    readonly differences: readonly DefinitionDifference[]
  ) {
    const list = differences.map(({ field, registered, given }) => `${field} was ${show(registered)} and is now ${show(given)}`)
    super(
      `the sessions table ${table} is already registered in this process with another definition: ${list.join('; ')}. Give every store of this table the same ${differences.map(({ field }) => field).join(', ')}, or another tableName`
    )
  }
}

/** The sessions table does not exist, and may not or could not be created. */
export class TableMissingError extends SessionStoreError {
  readonly code = 'ERR_SESSION_TABLE_MISSING'

  constructor(
    /** The name of the table, in quotes. */
    readonly table: string,
    why: string,
    /** The call that makes it. */
    call: string
  ) {
    super(
      `the sessions table ${table} does not exist and ${why}. Create it with a migration that calls ${call}, then run: npx knex migrate:latest`
    )
  }
}

/** A column of the sessions table that cannot hold what it has to. */
export interface WrongColumn {
  /** The name of the column in the database. */
  readonly name: string
  /** The type that it has, as the database writes it. */
  readonly type: string
  /** The type that it needs, in words. */
  readonly needed: string
}

/** Why a table is not a sessions table. */
export interface ForeignTable {
  readonly missing: readonly string[]
  readonly wrong?: readonly WrongColumn[]
  /** What else is wrong, in words. */
  readonly faults?: readonly string[]
  /** The names of all its columns. */
  readonly found: readonly string[]
  /** Whose table it seems to be. */
  readonly maker?: string | undefined
  /** The schema it was found in, where that is a surprise. */
  readonly schema?: string | undefined
}

/**
 * A table of that name exists, but it is not a sessions table of this package: it lacks columns, has columns of the wrong type, or cannot
 * be written to as the store does. Nothing was done to it.
 */
export class ForeignTableError extends SessionStoreError {
  readonly code = 'ERR_SESSION_FOREIGN_TABLE'
  /** The names of the columns that the table lacks. */
  readonly missingColumns: readonly string[]
  /** The columns whose type cannot hold what the store writes. */
  readonly wrongColumns: readonly WrongColumn[]

  constructor(table: string, { missing, wrong = [], faults = [], found, maker, schema }: ForeignTable) {
    const reasons = [
      ...(maker === undefined ? [] : [`it looks like the table of ${maker}`]),
      ...faults,
      ...(missing.length === 0
        ? []
        : [`it lacks the column${missing.length > 1 ? 's' : ''} ${missing.join(', ')} (it has ${found.join(', ')})`]),
      ...wrong.map(({ name, type, needed }) => `its column ${name} has the type ${type}, but must be ${needed}${whyNot(type)}`)
    ]
    const where = schema === undefined ? '' : ` (found in the schema ${JSON.stringify(schema)})`
    const rename = missing.length > 0 ? '; or name its columns by the option columns' : ''
    const advice = maker === undefined ? rename : `. To take over the sessions of ${maker}, see migrateFrom and importSessions`
    super(
      `the table ${table}${where} is not a sessions table of this package, and nothing was done to it: ${reasons.join('; ')}. Set the option tableName to another name, or rename that table, and the store makes a new one${advice}`
    )
    this.missingColumns = missing
    this.wrongColumns = wrong
  }
}

function whyNot(type: string): string {
  return /^jsonb?$/i.test(type) ? ' (a JSON column rewrites or refuses what is stored in it)' : ''
}

/** The session cannot be written as text: a BigInt, a circular reference, a `toJSON` that throws, a codec that fails. */
export class UnserializableSessionError extends SessionStoreError {
  readonly code = 'ERR_SESSION_UNSERIALIZABLE'

  constructor(why: string) {
    super(`the session cannot be stored: ${why}`)
  }
}

/** The session is larger than `maxDataBytes`. Nothing was written. */
export class SessionTooLargeError extends SessionStoreError {
  readonly code = 'ERR_SESSION_TOO_LARGE'

  constructor(
    readonly bytes: number,
    readonly maxDataBytes: number
  ) {
    super(
      `the session is too large: it has ${bytes} bytes encoded, and at most ${maxDataBytes} are allowed (option maxDataBytes); keep less in the session, or raise the option`
    )
  }
}

/** A stored row could not be decoded: wrong key, tampered, truncated, or not a session. */
export class UnreadableSessionError extends SessionStoreError {
  readonly code = 'ERR_SESSION_UNREADABLE'

  constructor(readonly reason: string) {
    super(`a stored session cannot be read: ${reason}`)
  }
}

/** The session id cannot be a key of the table: with `storedId: 'plain'` it is stored as it is. */
export class InvalidSessionIdError extends SessionStoreError {
  readonly code = 'ERR_SESSION_INVALID_ID'

  constructor(why: string) {
    super(`the session id cannot be stored: ${why}; storedId: 'hashed' (the default) takes any string`)
  }
}

/** Another request changed the session meanwhile, and the policy is `conflict: 'error'` or the tries ran out. */
export class SessionConflictError extends SessionStoreError {
  readonly code = 'ERR_SESSION_CONFLICT'

  constructor(why: string) {
    super(`another request changed the session after it was loaded (${why}); load the session again, repeat the change and save it`)
  }
}

/** The store was closed. */
export class StoreClosedError extends SessionStoreError {
  readonly code = 'ERR_SESSION_STORE_CLOSED'

  constructor(operation: string) {
    super(
      `session ${operation} was called on a store that was closed; close the store last, after the server, or make a new KnexSessionStore`
    )
  }
}

/** The transaction that the store was given has ended, or its BEGIN failed. Nothing was sent. */
export class TransactionEndedError extends SessionStoreError {
  readonly code = 'ERR_SESSION_TRANSACTION_ENDED'

  constructor() {
    super(
      'the transaction that the session store was given has ended (committed, rolled back, or its BEGIN failed), so nothing was sent. Await each call of that store before the transaction ends, and afterwards call a store that was made with the Knex itself'
    )
  }
}

/**
 * A listener of Knex's events threw an error, which is the `cause`. Of `query`: the statement was not sent. Of `query-response`: it was
 * carried out. Inside a transaction it is rolled back with the rest.
 */
export class QueryListenerError extends SessionStoreError {
  readonly code = 'ERR_SESSION_QUERY_LISTENER'

  constructor(cause: unknown) {
    super(
      "a listener of Knex's events start, query, query-response or query-error threw an error (see cause); make this listener catch its own errors",
      { cause }
    )
  }
}

const FUNCTION_HINTS: Readonly<Record<string, string>> = {
  owner: '; it is also called for visitors who are not signed in, so any property of the session may be missing',
  ttlSeconds: '; it is also called for visitors who are not signed in, so any property of the session may be missing',
  details: '; its request is undefined unless express-session calls the store'
}

/** A function that the application gave as an option threw an error, which is the `cause`. Nothing was sent. */
export class OptionFunctionError extends SessionStoreError {
  readonly code = 'ERR_SESSION_OPTION_FUNCTION'

  constructor(
    readonly option: string,
    cause: unknown
  ) {
    super(`the function given as option ${option} threw an error (see cause)${FUNCTION_HINTS[option] ?? ''}`, { cause })
  }
}

/** The store given as option `migrateFrom` failed to get or to destroy a session. Its error is the `cause`. */
export class OtherStoreError extends SessionStoreError {
  readonly code = 'ERR_SESSION_OTHER_STORE'

  constructor(
    /** What the other store was asked for. */
    readonly method: 'get' | 'destroy',
    cause: unknown
  ) {
    const what = method === 'get' ? 'so it is not known whether the session exists' : 'so the session may still be there'
    super(`the store given as migrateFrom failed to ${method} a session (see cause), ${what}; see that its database is reached`, { cause })
  }
}

/** True for an error of this package, whose message is safe to show. Errors of another copy of this module count too. */
export function isOurs(error: unknown): error is SessionStoreError {
  return error instanceof SessionStoreError || /^ERR_SESSION_/.test(String((error as { code?: unknown } | null)?.code))
}

function show(value: unknown): string {
  return value === undefined ? 'not set' : JSON.stringify(value)
}
