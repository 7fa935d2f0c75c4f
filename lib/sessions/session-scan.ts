import type { SessionData } from 'express-session'
import type { ConnectionBudget } from '../batching/connection-budget'
import type { WriteOrder } from '../batching/write-order'
import type { SessionRecord } from '../record/session-record'
import { takeTurns } from '../runtime/event-loop'
import type { MaybePromise } from '../runtime/maybe-promise'
import { monotonicNow } from '../runtime/natives'
import type { ScanRange } from '../table/live-rows'
import type { SessionTable } from '../table/session-table'
import type { Page } from '../table/table-scan'

const PAGE = 1000
/** Whole sessions may be large, so their pages are smaller. */
const PAGE_OF_SESSIONS = 100
/** How many sessions of a page are ended at the same time. */
const ENDED_AT_ONCE = 256
/** After this many milliseconds of decoding, other calls get a turn. */
const LONG_MS = 10

/** Limits the time of one step of a scan. */
type Bound = <T>(operation: string, step: Promise<T>) => Promise<T>

interface ScanParts {
  readonly table: SessionTable
  readonly budget: ConnectionBudget
  readonly order: WriteOrder
}

/** Works on all sessions, page by page, so that no statement takes long. It waits for the writes that were called before it. */
export class SessionScan {
  constructor(
    private readonly parts: ScanParts,
    private readonly range: ScanRange,
    /** The range without sessions older than `maxLifetimeSeconds`. Such sessions are not shown, but `clear` has to end them too. */
    private readonly shown: ScanRange,
    private readonly bound: Bound
  ) {}

  async sessions(open: (record: SessionRecord) => MaybePromise<SessionData | null>): Promise<SessionData[]> {
    const { table, budget, order } = this.parts
    await this.bound('all', order.settled())
    const sessions: SessionData[] = []
    let since = monotonicNow()
    let after: string | undefined = ''
    while (after !== undefined) {
      const page: Page<SessionRecord[]> = await this.bound(
        'all',
        budget.use(() => table.page(this.shown, after as string, PAGE_OF_SESSIONS))
      )
      for (const record of page.found) {
        const session = await open(record)
        if (session !== null) sessions.push(session)
        // Decoding a page of large sessions may take long.
        if (monotonicNow() - since > LONG_MS) {
          await takeTurns()
          since = monotonicNow()
        }
      }
      after = page.next
      if (after !== undefined) await takeTurns()
    }
    return sessions
  }

  async ids(): Promise<string[]> {
    const ids: string[] = []
    for await (const page of this.pagesOfIds('ids', this.shown)) ids.push(...page)
    return ids.map((id) => id.slice(this.range.prefix.length))
  }

  async count(): Promise<number> {
    const { table, budget, order } = this.parts
    await order.settled()
    let total = 0
    let after: string | undefined = ''
    while (after !== undefined) {
      const page: Page<number> = await budget.use(() => table.count(this.shown, after as string))
      total += page.found
      after = page.next
      if (after !== undefined) await takeTurns()
    }
    return total
  }

  async clear(end: (storedIds: readonly string[]) => Promise<void>): Promise<void> {
    for await (const ids of this.pagesOfIds('clear', this.range)) {
      for (let first = 0; first < ids.length; first += ENDED_AT_ONCE) {
        await this.bound('clear', end(ids.slice(first, first + ENDED_AT_ONCE)))
        await takeTurns()
      }
    }
  }

  private async *pagesOfIds(operation: string, range: ScanRange): AsyncGenerator<string[]> {
    const { table, budget, order } = this.parts
    await this.bound(operation, order.settled())
    let after: string | undefined = ''
    while (after !== undefined) {
      const page: Page<string[]> = await this.bound(
        operation,
        budget.use(() => table.pageOfIds(range, after as string, PAGE))
      )
      yield page.found
      after = page.next
      if (after !== undefined) await takeTurns()
    }
  }
}
