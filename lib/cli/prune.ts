import { pruneAll } from '../table/pruner'
import type { Command, Context } from './command'
import { BATCH, CONNECTION, numberOption, TABLE } from './common-options'
import { EXIT, type ExitCode } from './exit-codes'
import { ProgressBar } from './progress-bar'
import { counted, moment } from './screen'
import { onSite, type Site } from './site'

/** The maximum of --batch. A statement that deletes more rows would lock many rows for long and write a lot at once. */
const MOST_ROWS = 100_000

/** The reason, for the message, why some rows of ended sessions are not deleted yet. */
const WHY = 'a request that still holds such a session must find that it has ended'

export const prune: Command = {
  name: 'prune',
  about: 'Deletes the rows of sessions that ended more than ten minutes ago',
  values: [],
  options: { ...CONNECTION, ...TABLE, ...BATCH },
  details: [
    'Deletes in small batches (--batch, 1000 rows by default), beside the running application. Ctrl-C stops it after a batch; run it again to',
    'go on. It deletes such rows of all stores that share the table.'
  ],
  run: (context) => onSite(context, (site) => run(site, context))
}

async function run({ parts, options }: Site, { screen, given, interruption }: Context): Promise<ExitCode> {
  const signal = interruption.signal()
  const batchSize = numberOption(given, 'batch', MOST_ROWS) ?? options.pruneBatchSize
  const bar = new ProgressBar(screen.stderr, 'prune')
  const total = await parts.table.prunable()
  let pruned = 0
  bar.update(0, total)
  try {
    await pruneAll(
      async (limit) => {
        const rows = await parts.prune(limit)
        pruned += rows
        // More sessions may have ended since the rows were counted.
        bar.update(pruned, Math.max(total, pruned))
        return rows
      },
      batchSize,
      () => signal.aborted
    )
  } finally {
    bar.end()
  }
  const isStopped = signal.aborted
  const { rows, until } = isStopped ? { rows: undefined, until: undefined } : await parts.table.waiting()
  screen.result(
    {
      ok: !isStopped,
      pruned,
      stopped: isStopped,
      waiting: rows ?? null,
      waitingUntil: until === undefined ? null : new Date(until).toISOString()
    },
    `deleted ${counted(pruned, 'row')}${isStopped ? '; stopped before the end, run it again to go on' : ''}`,
    ...(until === undefined || rows === undefined
      ? []
      : [
          `${counted(rows, 'row')} of ended sessions ${rows === 1 ? 'stays' : 'stay'} for now, until ${moment(until)} at the latest: ${WHY}`
        ])
  )
  return isStopped ? EXIT.stopped : EXIT.fine
}
