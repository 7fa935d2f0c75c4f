import type { Connection } from '../../knex/knex-client'

/** A statement as it is sent: `$1` marks a binding. */
export interface Statement {
  readonly sql: string
  /** The name under which each connection prepares the statement once. Undefined if the statement is not to stay prepared. */
  readonly name: string | undefined
}

/** A value for a binding: a text, or bytes in the server's binary form. */
export type Binding = string | Buffer | null

/** The response to a statement: the columns of each row as texts, and how many rows it changed. */
export interface Answer {
  readonly rows: (string | null)[][]
  readonly rowCount: number
}

/** Called with the outcome. */
export type Answered = (error: unknown, answer?: Answer) => void

/** The driver's connection to the server, as far as it is used here. pg-cursor and pg-query-stream use the same parts. */
interface Wire {
  readonly stream: { cork?(): void; uncork?(): void }
  /** Names and texts of the statements that the server has prepared. */
  readonly parsedStatements: Record<string, string | undefined>
  /** The statements that were sent and have no response yet. Older versions of the driver do not have this. */
  readonly submittedNamedStatements?: Record<string, string | undefined>
  parse(statement: { name: string; text: string }): void
  bind(statement: { statement: string; values: readonly Binding[] }): void
  execute(): void
  sync(): void
}

/** The driver's client, which Knex calls a connection. */
export interface PgConnection extends Connection {
  readonly connection: Wire
  /** The number of the server's process, or the number that a pooler gives in its place. */
  readonly processID?: number | null
  query(query: PreparedQuery, callback: Answered): unknown
  query(query: { text: string }, answered: (error: unknown, answer?: { rows: Record<string, string>[] }) => void): unknown
}

/**
 * One run of a statement; the driver calls it a submittable. The driver calls `submit` when the connection is free, and the `handle…`
 * methods when the server responds.
 *
 * Its own properties are those of a query config of the driver, and two more that the driver does not know. A tracing tool may pass on a
 * copy instead. The copy is the same statement, and the driver runs it with a query of its own.
 */
export class PreparedQuery {
  readonly text: string
  readonly name: string | undefined
  readonly rowMode = 'array'
  /** Set by the driver. The driver wraps it if it limits the time of each query. Tools that trace the driver wrap it too. */
  callback: Answered | undefined = undefined
  private readonly found: (string | null)[][] = []
  private hits = 0

  constructor(
    statement: Statement,
    private readonly values: readonly Binding[]
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
      wire.bind({ statement: name, values: this.values })
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
    this.found.push(fields)
  }

  /** The tag ends with the number of rows: `UPDATE 5`, `INSERT 0 5`. */
  handleCommandComplete({ text }: { text: string }): void {
    this.hits = Number(text.slice(text.lastIndexOf(' ') + 1)) || 0
  }

  handleReadyForQuery(): void {
    this.callback?.(null, { rows: this.found, rowCount: this.hits })
  }

  handleError(error: unknown): void {
    this.callback?.(error)
  }

  handleRowDescription(): void {
    // Never called, because no description is asked for.
  }

  handlePortalSuspended(): void {
    // Never called, because all rows are asked for at once.
  }

  handleEmptyQuery(): void {
    // Never called, because none of our statements is empty.
  }

  handleCopyInResponse(): void {
    // Never called, because none of our statements copies.
  }

  handleCopyData(): void {
    // Never called, because none of our statements copies.
  }
}
