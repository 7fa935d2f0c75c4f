import createKnex from 'knex'
import { describe, expect, it } from 'vitest'
import { KnexSessionStore, UnsupportedDatabaseError } from '../../lib'
import { detectDialect } from '../../lib/dialects/drivers'

const OPTIONS = { prepare: true, durability: 'all' } as const

describe('the dialect', () => {
  // Without a connection Knex asks for no driver, so that none has to be installed.
  it.each([
    ['pg', 'postgresql'],
    ['cockroachdb', 'cockroachdb'],
    ['mysql2', 'mysql'],
    ['mysql', 'mysql'],
    ['better-sqlite3', 'sqlite'],
    ['sqlite3', 'sqlite']
  ])('of the client %s is %s', (client, name) => {
    expect(detectDialect(createKnex({ client, useNullAsDefault: true }), OPTIONS).name).toBe(name)
  })

  it.each(['mssql', 'oracledb', 'redshift'])('of the client %s is none: the constructor says which there are', (client) => {
    const construct = () => new KnexSessionStore({ knex: createKnex({ client }) })
    expect(construct).toThrow(UnsupportedDatabaseError)
    expect(construct).toThrow(
      /^this package does not support the Knex client ".*"; make the Knex with one of these: PostgreSQL \(pg\), CockroachDB \(cockroachdb\), MariaDB and MySQL \(mysql2, mysql\), and SQLite \(better-sqlite3, sqlite3\)$/
    )
  })

  it('has a name for every table that its own quoting makes safe', () => {
    for (const client of ['pg', 'cockroachdb', 'mysql2', 'sqlite3']) {
      const dialect = detectDialect(createKnex({ client, useNullAsDefault: true }), OPTIONS)
      expect(dialect.refusal('Sessions of "Ada" `x` \\ é')).toBeUndefined()
      expect(dialect.quote('a"b`c', 'd.e')).toMatch(client === 'mysql2' ? /^`a"b``c`\.`d\.e`$/ : /^"a""b`c"\."d\.e"$/)
      expect(dialect.quote(undefined, 'only')).toMatch(/^.only.$/)
    }
  })
})
