import { rehash as rehashRows } from '../sessions/rehash'
import type { Command } from './command'
import { BATCH, CONNECTION, PREFIX, TABLE } from './common-options'
import { runRewriting } from './rewriting'
import { onSite } from './site'

export const rehash: Command = {
  name: 'rehash',
  about: 'Moves all sessions that are stored under their plain id to its hash',
  values: [],
  options: { ...CONNECTION, ...TABLE, ...PREFIX, ...BATCH },
  details: [
    "First replace every process that has storedId: 'plain' by one that has upgradePlainIds: true: the others would not find a session that was",
    'moved. Runs beside the application, in batches of 100 rows. Expiry and owner stay. Needs --options if the application has a codec.',
    'Ctrl-C stops it after a batch; run it again to go on.'
  ],
  run: (context) =>
    onSite(context, (site) => runRewriting(site, context, { name: 'rehash', done: 'moved' }, rehashRows), {
      storedId: 'hashed',
      upgradePlainIds: true
    })
}
