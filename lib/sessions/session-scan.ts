import type { SessionData } from 'express-session'
import type { ConnectionBudget } from '../batching/connection-budget'
import type { WriteOrder } from '../batching/write-order'
import type { SessionRecord } from '../dialects/dialect'
import type { ScanRange, SessionTable } from '../table/session-table'

const PAGE = 1000
/** Whole sessions are read in smaller pages: they may be large. */
const PAGE_OF_SESSIONS = 100

/** Bounds one step of a scan in time. */
type Bound = <T>(operation: string, step: Promise<T>) => Promise<T>

interface ScanParts {
  readonly table: SessionTable
  readonly budget: ConnectionBudget
  readonly order: WriteOrder
}

/** What is asked of all sessions at once, page by page, so that no statement is long; after the writes that were asked for before. */
export class SessionScan {
  constructor(
    private readonly parts: ScanParts,
    private readonly range: ScanRange,
    private readonly bound: Bound
  ) {}

  async sessions(open: (record: SessionRecord) => SessionData | null | Promise<SessionData | null>): Promise<SessionData[]> {
    const { table, budget, order } = this.parts
    await this.bound('all', order.settled())
    const sessions: SessionData[] = []
    const next = (after: string) =>
      this.bound(
        'all',
        budget.use(() => table.page(this.range, after, PAGE_OF_SESSIONS))
      )
    for (let page = await next(''); page.length > 0; page = await next((page.at(-1) as SessionRecord).id)) {
      for (const record of page) {
        const session = await open(record)
        if (session !== null) sessions.push(session)
      }
    }
    return sessions
  }

  async ids(): Promise<string[]> {
    const ids: string[] = []
    for await (const page of this.pagesOfIds('ids')) ids.push(...page)
    return ids.map((id) => id.slice(this.range.prefix.length))
  }

  async count(): Promise<number> {
    await this.parts.order.settled()
    return this.parts.budget.use(() => this.parts.table.count(this.range))
  }

  async clear(end: (storedId: string) => Promise<void>): Promise<void> {
    for await (const page of this.pagesOfIds('clear')) {
      await this.bound('clear', Promise.all(page.map(end)))
    }
  }

  private async *pagesOfIds(operation: string): AsyncGenerator<string[]> {
    const { table, budget, order } = this.parts
    await this.bound(operation, order.settled())
    let after = ''
    for (;;) {
      const page = await this.bound(
        operation,
        budget.use(() => table.pageOfIds(this.range, after, PAGE))
      )
      if (page.length === 0) return
      yield page
      after = page.at(-1) as string
    }
  }
}
