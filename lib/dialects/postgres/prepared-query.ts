import type { Database } from '../database'
import { announce, type Connection } from '../knex-client'

/** A statement as it is sent: `$1` marks a binding. */
export interface Statement {
  readonly sql: string
  /** The name under which each connection prepares it once, or undefined where it is not to be kept. */
  readonly name: string | undefined
}

/** A value of a statement: a text, or bytes in the server's binary form. */
export type Binding = string | Buffer | null

/** What a statement answered: the columns of each row as texts, and how many rows it hit. */
export interface Answer {
  readonly rows: (string | null)[][]
  readonly rowCount: number
}

/** The driver's connection to the server, as far as it is used here: what pg-cursor and pg-query-stream build on as well. */
interface Wire {
  readonly stream: { cork?(): void; uncork?(): void }
  /** Names and texts of the statements that the server has prepared. */
  readonly parsedStatements: Record<string, string | undefined>
  /** The same for those that were sent and not answered; not in every version. */
  readonly submittedNamedStatements?: Record<string, string | undefined>
  parse(statement: { name: string; text: string }): void
  bind(statement: { statement: string; values: readonly Binding[] }): void
  execute(): void
  sync(): void
}

interface PgConnection extends Connection {
  readonly connection?: Wire
  /** True if the driver was told to send statements before the last ones are answered, which it does only with its own. */
  readonly pipeline?: boolean
  query(query: PreparedQuery): unknown
}

/**
 * Runs a prepared statement on the driver itself, as pg-cursor does, which a query object of its own costs half of: nothing is described,
 * since we know the columns, and nothing is copied or converted on the way. Where the driver is not as it is known here, Knex does it.
 */
export function runPrepared(db: Database, statement: Statement, bindings: readonly Binding[]): Promise<Answer> {
  const { sql, name } = statement
  return db.use((connection) => {
    if (!speaksDirectly(connection)) {
      const driver = { rowMode: 'array', ...(name === undefined ? {} : { name }) }
      return db.runOn(connection, sql, bindings, { driver }) as Promise<Answer>
    }
    const announced = { sql, bindings, options: { name } }
    announce(db.client, 'query', connection, announced)
    return new Promise<Answer>((resolve, reject) => {
      const answered: Answered = (error, answer) => {
        if (answer !== undefined) return resolve(answer)
        announce(db.client, 'query-error', connection, announced, error)
        reject(error)
      }
      connection.query(new PreparedQuery(statement, bindings, answered))
    })
  })
}

function speaksDirectly(connection: Connection): connection is PgConnection {
  const { connection: wire, pipeline } = connection as PgConnection
  return wire?.parsedStatements !== undefined && wire.stream !== undefined && typeof wire.bind === 'function' && pipeline !== true
}

type Answered = (error: unknown, answer?: Answer) => void

/** One run of a statement: what the driver calls a submittable. It calls each of these as the server answers. */
class PreparedQuery {
  readonly text: string
  readonly name: string | undefined
  private readonly rows: (string | null)[][] = []
  private rowCount = 0

  constructor(
    statement: Statement,
    private readonly bindings: readonly Binding[],
    /** By this name, because the driver, where it bounds each query in time, and tools that trace the driver put theirs around it. */
    public callback: Answered
  ) {
    this.text = statement.sql
    this.name = statement.name
  }

  submit(wire: Wire): Error | null {
    const { text, name = '' } = this
    const { stream, parsedStatements, submittedNamedStatements } = wire
    stream.cork?.()
    try {
      if (name === '' || (parsedStatements[name] === undefined && submittedNamedStatements?.[name] === undefined)) {
        wire.parse({ name, text })
        if (name !== '' && submittedNamedStatements !== undefined) submittedNamedStatements[name] = text
      }
      wire.bind({ statement: name, values: this.bindings })
      wire.execute()
      wire.sync()
      return null
    } catch (error) {
      return error as Error
    } finally {
      stream.uncork?.()
    }
  }

  handleDataRow({ fields }: { fields: (string | null)[] }): void {
    this.rows.push(fields)
  }

  /** Ends with how many rows it was: `UPDATE 5`, `INSERT 0 5`. */
  handleCommandComplete({ text }: { text: string }): void {
    this.rowCount = Number(text.slice(text.lastIndexOf(' ') + 1)) || 0
  }

  handleReadyForQuery(): void {
    this.callback(null, { rows: this.rows, rowCount: this.rowCount })
  }

  handleError(error: unknown): void {
    this.callback(error)
  }

  handleRowDescription(): void {
    // Not asked for.
  }

  handlePortalSuspended(): void {
    // All rows are asked for at once.
  }

  handleEmptyQuery(): void {
    // None of ours is empty.
  }

  handleCopyInResponse(): void {
    // None of ours copies.
  }

  handleCopyData(): void {
    // None of ours copies.
  }
}
