import { getOrMake } from '../../runtime/get-or-make'
import { driverCode } from '../dialect'
import type { PgConnection, Statement } from './prepared-query'

/**
 * invalid_sql_statement_name, duplicate_prepared_statement, and feature_not_supported. The last one means that the prepared statement would
 * return other columns now.
 */
const UNPREPARED = new Set(['26000', '42P05', '0A000'])
/** How often all statements of one connection are prepared again, under other names. */
const MOST_GENERATIONS = 8

const ofConnection = new WeakMap<PgConnection, PreparedNames>()

/**
 * The names under which statements are prepared on one connection. The driver believes that a statement stays prepared. The server may have
 * forgotten it (DISCARD ALL, DEALLOCATE ALL, a pooler that has changed the server's connection). Then another name makes the driver prepare
 * the statement again.
 */
export class PreparedNames {
  private generation = 0
  /** False if names are of no use, because the application resets its connections again and again. */
  private isOfUse = true

  private constructor(private readonly connection: PgConnection) {}

  static of(connection: PgConnection): PreparedNames {
    return getOrMake(ofConnection, connection, () => new PreparedNames(connection))
  }

  /** Returns undefined if the statement is not to stay prepared. */
  nameOf({ name }: Statement): string | undefined {
    if (name === undefined || !this.isOfUse) return undefined
    return this.generation === 0 ? name : `${name}_${this.generation}`
  }

  /**
   * Called after a statement of that name failed. Returns true if the name was the reason. From then on another name is used, or none. The
   * names of a connection are limited, on the server and in the driver. If they are used up behind a pooler, it returns false, because the
   * application has to be told that prepared statements do not last there.
   */
  async renew(name: string, statement: Statement, error: unknown): Promise<boolean> {
    if (!UNPREPARED.has(driverCode(error) ?? '')) return false
    // Another statement that was in flight has renewed the names meanwhile.
    if (this.nameOf(statement) !== name) return true
    if (this.generation < MOST_GENERATIONS) this.generation++
    else if (await isServersOwn(this.connection)) this.isOfUse = false
    else return false
    return true
  }
}

/** Whether the driver's connection always leads to the same process of the server. A pooler gives the connection a number of its own. */
function isServersOwn(connection: PgConnection): Promise<boolean> {
  return new Promise((resolve) => {
    connection.query({ text: 'SELECT pg_backend_pid()::text AS pid' }, (error, answer) => {
      resolve(!error && answer?.rows[0]?.pid === String(connection.processID))
    })
  })
}
