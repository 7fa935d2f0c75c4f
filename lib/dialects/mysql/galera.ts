import type { SettingProblem } from '../dialect'

type Select = (sql: string, bindings: readonly unknown[]) => Promise<unknown[][]>

/** Reads, updates and deletes: the bits of wsrep_sync_wait that the store needs. */
const READS = 1
const UPDATES_AND_DELETES = 2

/**
 * Says what is wrong on a node of a Galera cluster that does not wait for the others: it may serve old rows, and find no row to destroy. SHOW
 * knows the names on every server, where a SELECT of an unknown variable would fail.
 */
export async function galeraProblems(select: Select): Promise<SettingProblem[]> {
  const rows = await select("SHOW VARIABLES WHERE Variable_name IN ('wsrep_on', 'wsrep_sync_wait')", [])
  const { wsrep_on: isOn, wsrep_sync_wait: waits } = Object.fromEntries(rows)
  if (isOn !== 'ON') return []
  const needed = READS | UPDATES_AND_DELETES
  if ((Number(waits) & needed) === needed) return []
  return [
    {
      what: `this is a Galera cluster, and wsrep_sync_wait is ${waits} here: a node that lags behind serves old sessions, and may end none at a sign-out`,
      mend: "set wsrep_sync_wait = 7 for the connections of the sessions: in the server's configuration, or by SET SESSION in pool.afterCreate of the knexfile"
    }
  ]
}
