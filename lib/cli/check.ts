import type { Command, Context } from './command'
import { CONNECTION, TABLE } from './common-options'
import { EXIT } from './exit-codes'
import { explain } from './explain-error'
import { onSite } from './site'

/** Shorter than the timeout of an application: what runs a health probe waits only a few seconds for it. */
const TIMEOUT_MS = 5000

export const check: Command = {
  name: 'check',
  about: 'Says in one line whether sessions can be read and written now: for CI and health probes',
  values: [],
  options: { ...CONNECTION, ...TABLE },
  details: [
    'Looks at the columns of the table, then reads and updates a session that does not exist, which changes nothing.',
    'Ends after 5 seconds at most, unless --timeout says otherwise. Exit code 0 or 1.'
  ],
  run: (context: Context) =>
    onSite(
      context,
      async ({ store, table }) => {
        const { screen } = context
        await store.ready().catch((error) => {
          throw explain(error)
        })
        const { ok, dialect, latencyMs, error } = await store.health()
        if (!ok) throw error
        const ms = Math.round(latencyMs)
        screen.result({ ok, table, dialect, latencyMs: ms }, `ok: sessions can be read and written in ${table} on ${dialect}, in ${ms} ms`)
        return EXIT.fine
      },
      {},
      TIMEOUT_MS
    )
}
