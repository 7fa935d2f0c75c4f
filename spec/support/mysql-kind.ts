import type { Knex } from 'knex'

/** Whether the server behind the databases called mysql is a MariaDB; else it is a MySQL. */
export async function isMariadb(knex: Knex): Promise<boolean> {
  const [[{ found }]] = await knex.raw("SELECT version() LIKE '%MariaDB%' AS found")
  return found === 1
}
