import type { Row } from './stage.mts'

const COLUMNS: readonly (readonly [string, (row: Row) => string])[] = [
  ['scenario', ({ scenario }) => scenario],
  ['store', ({ store }) => store],
  ['database', ({ database }) => database],
  ['seconds', ({ seconds }) => String(seconds)],
  ['requests', ({ requests }) => String(requests)],
  ['errors', ({ errors }) => String(errors)],
  ['longest outage (ms)', ({ longestOutageMs }) => String(longestOutageMs)],
  ['sets lost', ({ lost, promised }) => count(lost.sets, promised.sets)],
  ['touches lost', ({ lost, promised, store }) => (TELLS_TOUCHES.has(store) ? count(lost.touches, promised.touches) : '–')],
  ['destroys lost', ({ lost, promised }) => count(lost.destroys, promised.destroys)],
  ['risen', ({ lost, promised }) => count(lost.risen, promised.destroys)],
  ['updates lost', ({ lost, promised }) => count(lost.lostUpdates, promised.sets)],
  ['stale reads', ({ lost }) => String(lost.staleReads)],
  ['callbacks missing', ({ callbacksMissing, callbacksTwice }) => count(callbacksMissing + callbacksTwice, true)],
  ['crashes', ({ crashes }) => count(crashes, true)],
  ['connections left', ({ connectionsLeft }) => (connectionsLeft === null ? '–' : count(connectionsLeft, true))],
  ['well again after (ms)', ({ recoveredAfterMs }) => (recoveredAfterMs === null ? '–' : slow(recoveredAfterMs))]
]

const TELLS_TOUCHES = new Set(['knex-session-store', 'broken'])

/** Bold is bad; in brackets is what the setting does not promise. */
function count(found: number, isPromised: boolean): string {
  if (found === 0) return '0'
  return isPromised ? `**${found}**` : `(${found})`
}

function slow(ms: number): string {
  return ms > 1_000 ? `**${ms}**` : String(ms)
}

export function tableOf(rows: readonly Row[]): string {
  const lines = [COLUMNS.map(([title]) => title), COLUMNS.map(() => '---'), ...rows.map((row) => COLUMNS.map(([, cell]) => cell(row)))]
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}
