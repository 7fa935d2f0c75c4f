import knexFactory from 'knex'
import { describe, expect, it } from 'vitest'
import { InvalidOptionError, SessionStoreError, UnknownOptionError, UnsupportedDatabaseError } from '../../lib'
import * as unitOfWorkModule from '../../lib/unit-of-work'
import { unitOfWork } from '../../lib/unit-of-work'

const knex = knexFactory({ client: 'better-sqlite3', connection: { filename: ':memory:' }, useNullAsDefault: true })

describe('the options of unitOfWork', () => {
  it.each([
    [
      { isolation: 'strict' },
      'isolation must be one of read uncommitted, read committed, repeatable read, snapshot, serializable, got "strict"'
    ],
    [{ readOnly: 'yes' }, 'readOnly must be true or false, got "yes" (string)'],
    [{ commitWhen: 400 }, 'commitWhen must be a function of the response, got 400 (number)'],
    [{ session: 'Atomic' }, "session must be 'independent' or 'atomic', got \"Atomic\" (string)"],
    [{ outsideUnit: false }, "outsideUnit must be 'pool' or 'throw', got false (boolean)"]
  ])('%o is refused', (options, message) => {
    expect(() => unitOfWork(knex, options as object)).toThrow(InvalidOptionError)
    expect(() => unitOfWork(knex, options as object)).toThrow(message)
  })

  it('a misspelt one is refused with the one that was meant', () => {
    expect(() => unitOfWork(knex, { commitwhen: () => true } as object)).toThrow(UnknownOptionError)
    expect(() => unitOfWork(knex, { commitwhen: () => true } as object)).toThrow('did you mean commitWhen?')
  })

  it('what is no Knex, or one of another database, is refused', () => {
    expect(() => unitOfWork({} as never)).toThrow(InvalidOptionError)
    expect(() => unitOfWork(undefined as never)).toThrow('knex must be a Knex instance or a transaction, got undefined')
    const mssql = Object.assign(() => undefined, { client: { driverName: 'mssql', raw: () => undefined } })
    expect(() => unitOfWork(mssql as never)).toThrow(UnsupportedDatabaseError)
  })

  it('those of one unit are checked as well, and a nested unit takes none', async () => {
    const work = unitOfWork(knex)
    await expect(work.run(() => 1, { xid: 'a b' })).rejects.toThrow('xid must be 1 to 64 letters, digits, and . _ : -')
    await expect(work.run(() => 1, { isolatoin: 'serializable' } as object)).rejects.toThrow('did you mean isolation?')
    await expect(work.job(() => 1, { commitOn: 'never' } as object)).rejects.toThrow("commitOn must be 'return' or 'always'")
    await expect(work.run(() => work.run(() => 1, { readOnly: true }))).rejects.toThrow(
      'readOnly must be given to the outermost unit of work'
    )
  })
})

describe('the errors of the unit of work', () => {
  const classes = Object.entries(unitOfWorkModule).filter(([name]) => name.endsWith('Error'))

  it('have each a stable code of their own', () => {
    const codes = classes.map(([, make]) => new (make as new (text: string) => SessionStoreError)('1'))
    expect(codes.every((error) => error instanceof SessionStoreError)).toBe(true)
    expect(Object.fromEntries(codes.map(({ name, code }) => [name, code]))).toEqual({
      AtomicSessionError: 'ERR_SESSION_NOT_ATOMIC',
      NestedStillOpenError: 'ERR_SESSION_NESTED_STILL_OPEN',
      NoUnitError: 'ERR_SESSION_NO_UNIT',
      ResponseDecidedError: 'ERR_HTTP_HEADERS_SENT',
      RollbackOnlyError: 'ERR_SESSION_ROLLBACK_ONLY',
      SessionOrderError: 'ERR_SESSION_ORDER',
      TwoPhaseDisabledError: 'ERR_SESSION_TWO_PHASE_DISABLED',
      TwoPhaseUnsupportedError: 'ERR_SESSION_TWO_PHASE_UNSUPPORTED',
      UndoneByNestedError: 'ERR_SESSION_UNDONE_BY_NESTED',
      UnitEndedError: 'ERR_SESSION_UNIT_ENDED',
      UnknownXidError: 'ERR_SESSION_UNKNOWN_XID',
      XidConflictError: 'ERR_SESSION_XID_CONFLICT'
    })
  })
})
