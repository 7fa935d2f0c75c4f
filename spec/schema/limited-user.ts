import { randomBytes } from 'node:crypto'
import type { Knex } from 'knex'
import type { OpenDatabase } from '../support/databases'

/** A user of the database who may read and write rows and create nothing. */
export interface LimitedUser extends AsyncDisposable {
  readonly knex: Knex
  /** Lets the user use the tables there are now. */
  grantTables(): Promise<void>
}

/** Not for SQLite, which knows no users. */
export async function limitedUser(database: OpenDatabase): Promise<LimitedUser> {
  const name = `kss_${randomBytes(6).toString('hex')}`
  const url = new URL(database.url)
  url.username = name
  url.password = 'specs'
  const { knex } = database
  const run = async (...statements: string[]) => {
    for (const sql of statements) await knex.raw(sql)
  }
  if (database.name === 'mysql') {
    await run(
      `CREATE USER '${name}' IDENTIFIED BY 'specs'`,
      `GRANT SELECT, INSERT, UPDATE, DELETE ON \`${url.pathname.slice(1)}\`.* TO '${name}'`
    )
  } else {
    // Before PostgreSQL 15 everybody may create in public.
    await run(`CREATE ROLE ${name} LOGIN PASSWORD 'specs'`, 'REVOKE CREATE ON SCHEMA public FROM PUBLIC')
  }
  const ofUser = database.connect({ connection: url.href })
  return {
    knex: ofUser,
    grantTables: () =>
      database.name === 'mysql' ? Promise.resolve() : run(`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ${name}`),
    async [Symbol.asyncDispose]() {
      await ofUser.destroy()
      await (database.name === 'mysql' ? run(`DROP USER '${name}'`) : run(`DROP OWNED BY ${name}`, `DROP ROLE ${name}`))
    }
  }
}
