import type { Connection } from '../knex-client'
import type { PipelineTrial } from './pipeline-trial'

/** A statement as it is sent: `$1` marks a binding. */
export interface Statement {
  readonly sql: string
  /** The name under which each connection prepares it once, or undefined where it is not to be kept. */
  readonly name: string | undefined
  /** There for a statement that may be sent again, over the same connection, before its last run is answered. */
  readonly pipeline?: Pipeline
}

/** What is under way of a pipelined statement. */
export interface Pipeline {
  /** The run that was sent last, until it is answered. */
  last: PreparedQuery | undefined
  /** There where it has to be found out whether it is faster so. */
  readonly trial?: PipelineTrial
}

/** A value of a statement: a text, or bytes in the server's binary form. */
export type Binding = string | Buffer | null

/** What a statement answered: the columns of each row as texts, and how many rows it hit. */
export interface Answer {
  readonly rows: (string | null)[][]
  readonly rowCount: number
}

/** Told what came of it. */
export type Answered = (error: unknown, answer?: Answer) => void

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

/** The driver's client, which Knex calls a connection. */
export interface PgConnection extends Connection {
  readonly connection: Wire
  /** True if the driver was told to send statements before the last ones are answered, which it does only with its own. */
  readonly pipeline?: boolean
  readonly connectionParameters?: { readonly query_timeout?: number | false }
  /** What was asked for and not sent. By either name, depending on the version; where both are, the other warns. */
  readonly _queryQueue?: readonly unknown[]
  readonly queryQueue?: readonly unknown[]
  query(query: PreparedQuery): unknown
}

/**
 * One run of a statement: what the driver calls a submittable. It calls `submit` when the connection is free, and the `handle…` as the
 * server answers.
 *
 * Another may follow it: that one's messages are sent behind this one's at once, so that the server goes on without waiting for us. The
 * driver has it in its queue meanwhile, as it would have one that is not sent.
 */
export class PreparedQuery {
  readonly text: string
  readonly name: string | undefined
  private readonly rows: (string | null)[][] = []
  private rowCount = 0
  private readonly madeAt = performance.now()
  /** When the first of those began that followed each other up to this one. */
  private lineBeganAt = this.madeAt
  private isSent = false
  /** While the answers that come are for this one. */
  private isAwaited = false
  private isFollowed = false

  constructor(
    statement: Statement,
    /** Told of it from when it is sent until it is answered, if others may follow. */
    private readonly pipeline: Pipeline | undefined,
    readonly connection: PgConnection,
    private readonly bindings: readonly Binding[],
    /** By this name, because the driver, where it bounds each query in time, and tools that trace the driver put theirs around it. */
    public callback: Answered
  ) {
    this.text = statement.sql
    this.name = statement.name
  }

  /** Nobody follows yet, this one follows nobody any more, and the driver has nothing else in its queue. */
  get mayBeFollowed(): boolean {
    const { connection, isAwaited, isFollowed } = this
    return isAwaited && !isFollowed && (connection._queryQueue ?? connection.queryQueue)?.length === 0
  }

  get isPrepared(): boolean {
    return this.name !== undefined && this.connection.connection.parsedStatements[this.name] !== undefined
  }

  /** In milliseconds, since it was made to be sent. */
  get age(): number {
    return performance.now() - this.madeAt
  }

  /** The same of the first of those who followed each other. */
  get ageOfLine(): number {
    return performance.now() - this.lineBeganAt
  }

  /** Sends it, as soon as the connection is free. */
  start(): void {
    this.connection.query(this)
  }

  /** Sends it now, behind `front`, on the same connection. */
  follow(front: PreparedQuery): void {
    const error = this.send(this.connection.connection)
    if (error !== null) {
      this.handleError(error)
      return
    }
    this.lineBeganAt = front.lineBeganAt
    front.isFollowed = true
    this.connection.query(this)
  }

  /** The answers that come next are for this one. */
  submit(wire: Wire): Error | null {
    this.isAwaited = true
    return this.isSent ? null : this.send(wire)
  }

  handleDataRow({ fields }: { fields: (string | null)[] }): void {
    this.rows.push(fields)
  }

  /** Ends with how many rows it was: `UPDATE 5`, `INSERT 0 5`. */
  handleCommandComplete({ text }: { text: string }): void {
    this.rowCount = Number(text.slice(text.lastIndexOf(' ') + 1)) || 0
  }

  handleReadyForQuery(): void {
    this.end()
    this.pipeline?.trial?.answered(this.rowCount)
    this.callback(null, { rows: this.rows, rowCount: this.rowCount })
  }

  handleError(error: unknown): void {
    this.end()
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

  private send(wire: Wire): Error | null {
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
      this.isSent = true
      if (this.pipeline !== undefined) this.pipeline.last = this
      return null
    } catch (error) {
      return error as Error
    } finally {
      stream.uncork?.()
    }
  }

  private end(): void {
    this.isAwaited = false
    if (this.pipeline?.last === this) this.pipeline.last = undefined
  }
}
