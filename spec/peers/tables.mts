import type { OutageResult } from '../races/outages.mjs'
import type { RaceResult } from '../races/races.mjs'
import type { Entry } from './contenders.mjs'
import type { Cell, Column } from './measurements.mjs'

/** What was measured of one store on one database. */
export interface Measured extends Entry {
  readonly cells: Column
  /** Why it was not measured to the end. */
  readonly reason?: string | undefined
}

const names: Record<Entry['database'], string> = { postgres: 'PostgreSQL', mysql: 'MariaDB', sqlite: 'SQLite', redis: 'Redis', memory: '' }

/** Every row, and a column for each store and database. */
export function fullTable(columns: readonly Measured[]): string {
  const titles = titlesOf(columns)
  const head = columns.map(({ store, database }) => [store, names[database]].filter(Boolean).join(', '))
  const rows = titles.map((title) => [title, ...columns.map(({ cells }) => show(cells[title]))])
  const left = columns.flatMap(({ store, database, reason }) =>
    reason ? [`\n${store} on ${database} was not measured to the end: ${reason}`] : []
  )
  return [table(['', ...head], rows), ...left].join('\n')
}

/** A column for each store: rounds added up over its databases, and of what befalls a process the worst. */
export function shortTable(columns: readonly Measured[]): string {
  const stores = [...new Set(columns.map(({ store }) => store))]
  const rows = titlesOf(columns).map((title) => {
    return [
      title,
      ...stores.map((store) => show(together(columns.filter((column) => column.store === store).map(({ cells }) => cells[title]))))
    ]
  })
  return table(['', ...stores], rows)
}

function together(cells: readonly (Cell | undefined)[]): Cell | undefined {
  const measured = cells.filter((cell) => cell !== undefined && cell.data !== null) as Cell[]
  const [first = cells[0]] = measured
  if (measured.length > 0 && measured.every(({ data }) => isRace(data))) {
    const sum = (key: 'wrong' | 'rounds') => measured.reduce((total, { data }) => total + (data as RaceResult)[key], 0)
    return { text: `${sum('wrong')} of ${sum('rounds')}`, bad: measured.some(({ bad }) => bad), data: null }
  }
  return measured.sort((a, b) => badness(b) - badness(a))[0] ?? first
}

function badness({ bad, data }: Cell): number {
  const { died = false, recovered = true, failed = 0 } = data as Partial<OutageResult>
  const failures = Array.isArray(failed) ? failed.length : failed
  return (died ? 1_000 : 0) + (recovered ? 0 : 500) + (bad ? 100 : 0) + failures
}

function isRace(data: unknown): data is RaceResult {
  return typeof data === 'object' && data !== null && 'wrong' in data
}

function titlesOf(columns: readonly Measured[]): string[] {
  return [...new Set(columns.flatMap(({ cells }) => Object.keys(cells)))]
}

function show(cell: Cell | undefined): string {
  if (!cell) return '?'
  return cell.bad ? `**${cell.text}**` : cell.text
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
