import type { RewritingOptions, RewritingParts, RewritingResult } from '../sessions/rewrite-rows'
import type { Context } from './command'
import { numberOption } from './common-options'
import { EXIT, type ExitCode } from './exit-codes'
import { ProgressBar } from './progress-bar'
import { counted } from './screen'
import type { Site } from './site'

/** The maximum of --batch. Larger batches would need much memory. */
const MOST_ROWS = 10_000

/** The words that differ between commands that rewrite rows. */
export interface RewritingWords {
  /** The name of the command. */
  readonly name: string
  /** What the command did to the rows, for the result: "re-encrypted". */
  readonly done: string
}

/** Runs the work on all rows with a progress bar, until it ends or Ctrl-C stops it. Then prints the counts. */
export async function runRewriting(
  { parts, options }: Site,
  { screen, given, interruption }: Context,
  { name, done }: RewritingWords,
  work: (parts: RewritingParts, options: RewritingOptions) => Promise<RewritingResult>
): Promise<ExitCode> {
  const batchSize = numberOption(given, 'batch', MOST_ROWS)
  const bar = new ProgressBar(screen.stderr, name)
  const rewriting = work(
    { ...parts, options },
    {
      signal: interruption.signal(),
      onProgress: (looked, total) => bar.update(looked, total),
      ...(batchSize !== undefined && { batchSize })
    }
  )
  const { looked, rewritten, unreadable, taken, isStopped } = await rewriting.finally(() => bar.end())
  const isWhole = unreadable === 0 && taken === 0
  const lines = [`${done} ${counted(rewritten, 'session')} of ${counted(looked, 'row')}`]
  if (unreadable > 0) lines.push(`! ${counted(unreadable, 'session')} cannot be read with the codec of --options, and stayed as they are`)
  if (taken > 0) lines.push(`! ${counted(taken, 'session')} stayed as they are, because there is a row under their hash already`)
  if (isStopped) lines.push('stopped before the end, run it again to go on')
  screen.result({ ok: isWhole && !isStopped, looked, rewritten, unreadable, taken, stopped: isStopped }, ...lines)
  if (isStopped) return EXIT.stopped
  return isWhole ? EXIT.fine : EXIT.wrong
}
