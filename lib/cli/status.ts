import { ForeignTableError, TableMissingError } from '../errors'
import { takeTurns } from '../runtime/event-loop'
import type { SessionTable } from '../table/session-table'
import { addCensus, type Census, EMPTY_CENSUS } from '../table/table-census'
import type { Command, Context } from './command'
import { CONNECTION, PREFIX, TABLE } from './common-options'
import { EXIT, type ExitCode } from './exit-codes'
import { type Problem, problemOf } from './explain-error'
import { counted, inColumns, moment, withCommas } from './screen'
import { onSite, type Site } from './site'

export const status: Command = {
  name: 'status',
  about: 'Shows the table, whether its layout is right, and what is in it',
  values: [],
  options: { ...CONNECTION, ...TABLE, ...PREFIX },
  details: [
    'Counts the rows of all stores that share the table, or with --prefix those of one. Expired and ended sessions have rows until the pruner',
    'deletes them, ten minutes after their end at the earliest. Exit code 1 if the table is missing, or is not one of this package.'
  ],
  run: (context) => onSite(context, (site) => show(site, context))
}

async function show({ store, options, parts, table }: Site, { screen }: Context): Promise<ExitCode> {
  const { tableName, schemaName } = options.table
  const about = { table: tableName, schema: schemaName ?? null, dialect: options.dialect.name }
  const wrong = await store.ready().then(() => undefined, layoutProblem)
  if (wrong !== undefined) {
    const { layout, problem } = wrong
    screen.result(
      { ok: false, ...about, layout, problems: [problem] },
      ...heading(table, about.dialect, layout),
      ...problemLines([problem])
    )
    return EXIT.wrong
  }
  const census = await countAll(parts.table, options.prefix)
  const bytes = await parts.table.size()
  const indexes = await parts.table.indexUses()
  const { live, expired, ended, overdue, oldest } = census
  const problems = [...problemsOf(census), ...(await parts.table.settingProblems())]
  const rows = [
    ['live', `${withCommas(live)}${oldest === undefined ? '' : `, the oldest of ${moment(oldest)}`}`],
    ['expired', `${withCommas(expired)}, waiting for the pruner`],
    ['ended', `${withCommas(ended)}, waiting for the pruner`],
    ...(bytes === undefined ? [] : [['size', sizeOf(bytes)]]),
    ...(indexes === undefined
      ? [['indexes', `${about.dialect} does not count their use`]]
      : indexes.map(({ name, uses }) => ['index', `${name}, used ${counted(uses, 'time')}`]))
  ]
  const json = {
    ok: true,
    ...about,
    layout: 'right',
    ...{ live, expired, ended, overdue },
    bytes: bytes ?? null,
    indexes: indexes ?? null,
    oldest: oldest === undefined ? null : new Date(oldest).toISOString(),
    problems
  }
  screen.result(json, ...heading(table, about.dialect, 'right'), ...inColumns(rows), ...problemLines(problems))
  return EXIT.fine
}

async function countAll(table: SessionTable, prefix: string): Promise<Census> {
  let all = EMPTY_CENSUS
  let after: string | undefined = ''
  while (after !== undefined) {
    const page: Awaited<ReturnType<SessionTable['census']>> = await table.census(prefix, after)
    all = addCensus(all, page.found)
    after = page.next
    await takeTurns()
  }
  return all
}

function layoutProblem(error: unknown): { layout: 'missing' | 'wrong'; problem: Problem } {
  if (error instanceof TableMissingError) return { layout: 'missing', problem: problemOf(error) }
  if (error instanceof ForeignTableError) return { layout: 'wrong', problem: problemOf(error) }
  throw error
}

function problemsOf({ overdue }: Census): Problem[] {
  if (overdue === 0) return []
  return [
    {
      what: `${withCommas(overdue)} of the rows that wait ended more than two hours ago, so no process seems to prune`,
      mend: 'run knex-session-store prune, and give a store of a process that runs always a pruneIntervalMs, which is 15 minutes by default'
    }
  ]
}

function heading(table: string, dialect: string, layout: string): string[] {
  return [
    `table ${table} on ${dialect}: ${layout === 'right' ? 'its layout is right' : layout === 'missing' ? 'missing' : 'not one of this package'}`
  ]
}

function problemLines(problems: readonly Problem[]): string[] {
  return problems.flatMap(({ what, mend }) => ['', `! ${what}`, `  ${mend}`])
}

const UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB']

function sizeOf(bytes: number): string {
  let size = bytes
  let unit = 0
  while (size >= 1000 && unit < UNITS.length - 1) {
    size /= 1000
    unit++
  }
  return `${unit === 0 ? size : size.toFixed(1)} ${UNITS[unit]}`
}
