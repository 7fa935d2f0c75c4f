import { expect, it } from 'vitest'
import { describeDatabase } from '../support/databases'
import { everySetting, failuresOf } from './settings'

/** Of MariaDB and MySQL, and why no statement can be expected to do the same with it. */
const EXCEPT_ON_MYSQL: Readonly<Record<string, string>> = {
  max_session_mem_used: 'starves every statement, even the SET',
  timestamp: 'moves the clock of the database by decades',
  tx_read_only: 'lets nobody write',
  transaction_read_only: 'lets nobody write',
  require_row_format: 'refuses the INSERT of an application: it is for what replays a binary log',
  use_secondary_engine: 'forced, it reads no table of InnoDB',
  max_join_size: 'allows one row a statement: those for many are sent again, one by one, by what is above the statements'
}

describeDatabase('mysql', 'every statement runs', (kind) => {
  it('with every value of every setting that a connection may have', { timeout: 400_000 }, async () => {
    await using opened = await kind.open()
    const settings = (await everySetting(opened.knex))
      .filter(({ name }) => !(name in EXCEPT_ON_MYSQL))
      .map(({ name, value }) => {
        const literal = /^-?\d+$/.test(value) ? value : `'${value}'`
        return { title: `${name} = ${value}`, statements: [`SET SESSION ${name} = ${literal}`], mayTransact: value !== 'ORACLE' }
      })
    expect(settings.length).toBeGreaterThan(400)
    expect(await failuresOf(opened, settings)).toEqual({})
  })
})

/** Of PostgreSQL. */
const EXCEPT_ON_POSTGRES: Readonly<Record<string, string>> = {
  default_transaction_read_only: 'lets nobody write',
  client_encoding: 'must be UTF8, because the driver sends UTF8'
}

interface ListedSetting {
  readonly name: string
  readonly vartype: string
  readonly enumvals: readonly string[] | null
  readonly min_val: string | null
  readonly max_val: string | null
}

describeDatabase('postgres', 'every statement runs', (kind) => {
  it('with every value of every setting that a connection may have', { timeout: 400_000 }, async () => {
    await using opened = await kind.open()
    const { rows } = await opened.knex.raw("SELECT * FROM pg_settings WHERE context IN ('user', 'superuser') ORDER BY name")
    const valuesOf = ({ vartype, enumvals, min_val, max_val }: ListedSetting) => {
      if (vartype === 'bool') return ['on', 'off']
      return vartype === 'enum' ? (enumvals ?? []) : [min_val, max_val].filter((value) => value !== null)
    }
    const settings = (rows as ListedSetting[])
      .filter(({ name }) => !(name in EXCEPT_ON_POSTGRES))
      .flatMap((listed) =>
        valuesOf(listed).map((value) => ({ title: `${listed.name} = ${value}`, statements: [`SET SESSION ${listed.name} = '${value}'`] }))
      )
    expect(settings.length).toBeGreaterThan(300)
    expect(await failuresOf(opened, settings)).toEqual({})
  })
})
