import { type ImportSessionsResult, importSessions } from '../moving/import-sessions'
import { IMPORT_SOURCES, type ImportSource } from '../moving/sources'
import { type Command, type Context, textOption } from './command'
import { UsageError } from './command-errors'
import { BATCH, CONNECTION, numberOption, PREFIX, TABLE } from './common-options'
import { closeKnex } from './connect'
import { EXIT, type ExitCode } from './exit-codes'
import { ProgressBar } from './progress-bar'
import { counted } from './screen'
import { configuredSite } from './site'

const MOST_ROWS = 1000

export const importCommand: Command = {
  name: 'import',
  about: "Copies the live sessions from another store's table, so that nobody is signed out",
  values: [],
  options: {
    from: { value: 'package', about: `the store whose table is read: ${IMPORT_SOURCES.join(', ')}` },
    'from-table': { value: 'name', about: 'the name of its table (default: the name that the package gives it)' },
    'from-schema': { value: 'name', about: 'the schema of its table' },
    ...CONNECTION,
    ...TABLE,
    ...PREFIX,
    ...BATCH
  },
  details: [
    'Reads the other table and never writes it. Give --options with owner and codec, as the application gives them to the store. The table of',
    'this store must be there. Copies 500 rows at once. Ctrl-C stops it after a batch; run it again to go on: a session that has a row here,',
    'alive or ended, is left as it is. Exit code 1 if there are rows that hold no session.'
  ],
  run: (context) => run(context)
}

async function run(context: Context): Promise<ExitCode> {
  const { screen, given, interruption } = context
  const from = textOption(given, 'from')
  if (from === undefined) throw new UsageError(`import needs --from, the store whose table is read: ${IMPORT_SOURCES.join(', ')}`)
  const [fromTable, fromSchema, batchSize] = [
    textOption(given, 'from-table'),
    textOption(given, 'from-schema'),
    numberOption(given, 'batch', MOST_ROWS)
  ]
  const { knex, given: options } = await configuredSite(context)
  const bar = new ProgressBar(screen.stderr, 'import')
  try {
    const result = await importSessions(knex, {
      ...options,
      from: from as ImportSource,
      ...(fromTable !== undefined && { fromTable }),
      ...(fromSchema !== undefined && { fromSchema }),
      ...(batchSize !== undefined && { batchSize }),
      signal: interruption.signal(),
      onProgress: (done, total) => bar.update(done, total)
    })
    bar.end()
    return report(context, result)
  } finally {
    bar.end()
    await closeKnex(knex)
  }
}

function report({ screen }: Context, { isStopped, ...counts }: ImportSessionsResult): ExitCode {
  const { looked, imported, alreadyThere, ended, unreadable } = counts
  const lines = [`imported ${counted(imported, 'session')} of ${counted(looked, 'row')}`]
  if (alreadyThere > 0) lines.push(`${counted(alreadyThere, 'session')} had a row here already, which stayed as it is`)
  if (ended > 0) lines.push(`${counted(ended, 'session')} had ended`)
  if (unreadable > 0) lines.push(`! ${counted(unreadable, 'row')} of the other table hold no session that can be stored`)
  if (isStopped) lines.push('stopped before the end, run it again to go on')
  screen.result({ ok: unreadable === 0 && !isStopped, ...counts, stopped: isStopped }, ...lines)
  if (isStopped) return EXIT.stopped
  return unreadable === 0 ? EXIT.fine : EXIT.wrong
}
