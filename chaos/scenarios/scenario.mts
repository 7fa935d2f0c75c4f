import type { Place, Row, Run, Scene } from '../stage.mts'
import type { DatabaseName } from '../stores.mts'

/** Something that happens to a database under load. */
export interface Scenario {
  readonly name: string
  /** One line for `--list`. */
  readonly title: string
  readonly databases: readonly DatabaseName[]
  /** How long the fault lasts, unless `--seconds` says otherwise. */
  readonly seconds: number
  /** @default 100 */
  readonly visitors?: number
  /** Which acknowledged writes are promised to be kept, with the default settings of the store. */
  readonly promised: Run['promised']
  /** Whether a request that fails is a fault. */
  readonly noErrors?: boolean
  /** Errors of the server without which the scenario has proved nothing. */
  readonly mustOccur?: readonly string[]
  /** Options of this package's store. */
  readonly options?: Record<string, unknown>
  run(database: DatabaseName, run: Run): Promise<Row>
  /** The same on a database that runs already, where it takes no more than a line to it. */
  runOn?(database: DatabaseName, url: string, run: Run): Promise<Row>
}

/**
 * How long the fault lasts, and the `timeoutMs` of the store. It is the store's default, but a fault that is made shorter by `--seconds` has to
 * outlast the calls all the same.
 */
export function timesOf(scenario: Scenario, given: string | undefined): Pick<Run, 'seconds' | 'timeoutMs'> {
  const seconds = Number(given ?? scenario.seconds)
  return { seconds, timeoutMs: given ? Math.min(10_000, Math.max(1_000, seconds * 700)) : 10_000 }
}

export const ALL_KEPT: Run['promised'] = { sets: true, touches: true, destroys: true }
/** What `durability: 'sets'`, the default, promises when a server dies. */
export const SETS_KEPT: Run['promised'] = { sets: true, touches: false, destroys: true }
/** What an asynchronous standby promises when its primary dies: nothing of the last moment. */
export const NONE_KEPT: Run['promised'] = { sets: false, touches: false, destroys: false }

export type { Place, Row, Run, Scene }
