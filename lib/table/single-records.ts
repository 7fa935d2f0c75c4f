import type { Caller, Undertaking } from '../calls/caller'
import { TimeoutError } from '../database-errors'
import { StatementBounds } from '../knex/statement-bounds'
import type { RecordToPut, RecordToTouch, RecordToUpdate, RecordToUpdateWithLife, SessionRecord } from '../record/session-record'
import type { SessionRecords } from '../record/session-records'
import type { SessionTable } from './session-table'

/**
 * Sends each call at once, in a statement of its own. Inside a transaction the caller decides the order of statements, and which lock each
 * of them waits for.
 */
export class SingleRecords implements SessionRecords {
  readonly waiting = 0

  constructor(private readonly table: SessionTable) {}

  load(id: string, caller?: Caller): Promise<SessionRecord | null> {
    return only(caller, async (bounds) => this.table.load([id], bounds))
  }

  async insert(record: RecordToPut, caller?: Caller): Promise<void> {
    await bounded(caller, async (bounds) => this.table.insert([record], bounds))
  }

  put(record: RecordToPut, caller?: Caller): Promise<number> {
    return only(caller, async (bounds) => this.table.put([record], bounds))
  }

  putUnlessDead(record: RecordToPut, caller?: Caller): Promise<number | null> {
    return only(caller, async (bounds) => this.table.putUnlessDead([record], bounds))
  }

  update(record: RecordToUpdate, caller?: Caller): Promise<boolean> {
    return only(caller, async (bounds) => this.table.update([record], bounds))
  }

  updateWithLife(record: RecordToUpdateWithLife, caller?: Caller): Promise<boolean> {
    return only(caller, async (bounds) => this.table.updateWithLife([record], bounds))
  }

  touch(record: RecordToTouch, caller?: Caller): Promise<boolean> {
    return only(caller, async (bounds) => this.table.touch([record], bounds))
  }

  async remove(id: string, caller?: Caller): Promise<void> {
    await bounded(caller, async (bounds) => this.table.remove([id], bounds))
  }
}

/** Runs one statement, which ends when its caller gives up. */
class Alone implements Undertaking {
  before: Undertaking | undefined = undefined
  isOver = false

  constructor(private readonly bounds: StatementBounds) {}

  giveUp(): void {
    this.bounds.leave(this)
  }

  neverSent(): void {
    // A caller that has given up is refused only when there is a connection.
  }
}

async function bounded<T>(caller: Caller | undefined, statement: (bounds?: StatementBounds) => Promise<T>): Promise<T> {
  if (caller === undefined) return statement()
  const bounds = new StatementBounds(undefined, 1)
  const alone = new Alone(bounds)
  const { outcome } = caller
  if (caller.hasGivenUp) alone.giveUp()
  else caller.begin(alone)
  caller.outcome = 'unknown'
  try {
    return await statement(bounds)
  } catch (error) {
    if (!(error instanceof TimeoutError)) caller.outcome = outcome
    throw error
  } finally {
    alone.isOver = true
  }
}

async function only<T>(caller: Caller | undefined, statement: (bounds?: StatementBounds) => Promise<readonly T[]>): Promise<T> {
  return (await bounded(caller, statement))[0] as T
}
