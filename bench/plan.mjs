import { parseArgs } from 'node:util'
import { operations } from './measure.mjs'
import { payloads } from './session.mjs'

const flags = {
  full: { type: 'boolean', default: false },
  stores: { type: 'string' },
  ops: { type: 'string' },
  c: { type: 'string' },
  payloads: { type: 'string' },
  rows: { type: 'string' },
  rounds: { type: 'string' },
  seconds: { type: 'string' },
  micro: { type: 'boolean', default: true },
  http: { type: 'boolean', default: true },
  'http-seconds': { type: 'string' },
  name: { type: 'string' },
  help: { type: 'boolean', default: false }
}

export const usage = `npm run bench -- [--full] [flags]

  --full                 everything: about an hour, 25 GB of disk, 6 GB of memory
  --stores=ours,raw-pg   only these (a name, or its beginning up to a hyphen)
  --ops=get,touch        of ${Object.keys(operations).join(', ')}
  --c=1,64               concurrent callers
  --payloads=2KB         of ${Object.keys(payloads).join(', ')}
  --rows=10000           rows in the table before
  --rounds=5 --seconds=1 rounds of each measurement, and how long one is
  --no-micro --no-http   leave a part out
  --http-seconds=5       how long one round over HTTP is
  --name=reference       results/reference.json; a name that does not begin with "local-" redraws the README's chart too`

const quick = { warmUpSeconds: 0.15, rounds: 3, seconds: 0.12, httpRounds: 2, httpSeconds: 1.2 }
const thorough = { warmUpSeconds: 3, rounds: 5, seconds: 0.4, httpRounds: 5, httpSeconds: 4 }

/** What is measured: from the command line, over the quick plan (at most two minutes) or the full one. */
export function readPlan(args) {
  const { values } = parseArgs({ args, options: flags, allowNegative: true })
  const base = values.full ? thorough : quick
  const rounds = number(values.rounds)
  return {
    help: values.help,
    full: values.full,
    name: values.name ?? (values.full ? 'local-full' : 'local-quick'),
    isChosen: choose(list(values.stores), values.full),
    rounds: rounds ?? base.rounds,
    // Whoever asks for as many rounds wants figures to publish.
    warmUpSeconds: (rounds >= thorough.rounds ? thorough : base).warmUpSeconds,
    seconds: number(values.seconds) ?? base.seconds,
    micro: values.micro,
    datasets: datasets(values),
    http: values.http,
    httpRounds: rounds ?? base.httpRounds,
    httpSeconds: number(values['http-seconds']) ?? base.httpSeconds,
    connections: 64
  }
}

/** A dataset is one table's content and the operations to run on it, each with each number of callers. */
function datasets(values) {
  const all = Object.keys(operations)
  const single = ['get', 'touch', 'set']
  const standard = values.full
    ? [
        { payload: '2KB', rows: 10_000, ops: all, callers: [1, 8, 64, 256] },
        { payload: '200B', rows: 10_000, ops: single, callers: [1, 64] },
        { payload: '20KB', rows: 10_000, ops: single, callers: [1, 64] },
        { payload: '2KB', rows: 1_000_000, ops: single, callers: [1, 64] }
      ]
    : [{ payload: '2KB', rows: 10_000, ops: single, callers: [1, 64] }]
  const asked = { ops: list(values.ops), callers: list(values.c)?.map(Number) }
  check('ops', asked.ops, all)
  check('payloads', list(values.payloads), Object.keys(payloads))
  const chosen =
    values.payloads || values.rows
      ? product(list(values.payloads) ?? ['2KB'], list(values.rows)?.map(Number) ?? [10_000]).map(([payload, rows]) => ({
          ...standard[0],
          payload,
          rows
        }))
      : standard
  return chosen.map((dataset) => ({ ...dataset, ops: asked.ops ?? dataset.ops, callers: asked.callers ?? dataset.callers }))
}

/** Floors of little news, which the quick run has no time for. */
const onlyInFull = ['raw-mysql', 'knex-raw-pg', 'knex-raw-mysql', 'knex-raw-sqlite']

function choose(filter, full) {
  if (filter) return (name) => filter.some((part) => name === part || name.startsWith(`${part}-`))
  return (name) => full || !onlyInFull.includes(name)
}

function check(flag, given, known) {
  const wrong = given?.find((value) => !known.includes(value))
  if (wrong !== undefined) throw new Error(`--${flag}: "${wrong}" is none of ${known.join(', ')}`)
}

function list(text) {
  return text?.split(',').filter(Boolean)
}

function number(text) {
  return text === undefined ? undefined : Number(text)
}

function product(left, right) {
  return left.flatMap((a) => right.map((b) => [a, b]))
}
