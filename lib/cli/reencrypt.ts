import { reencrypt as reencryptRows } from '../sessions/reencrypt'
import { type Command, textOption } from './command'
import { UsageError } from './command-errors'
import { BATCH, CONNECTION, PREFIX, TABLE } from './common-options'
import { runRewriting } from './rewriting'
import { onSite } from './site'

export const reencrypt: Command = {
  name: 'reencrypt',
  about: 'Encrypts all sessions with the newest key, so that the old one can be dropped',
  values: [],
  options: { ...CONNECTION, ...TABLE, ...PREFIX, ...BATCH },
  details: [
    'Needs --options with the codec of the application, encrypted({ keys: [newest, old] }). With acceptPlain: true it also encrypts sessions',
    'from before encryption was on. Runs beside the application, which must know the newest key, in batches of 100 rows. Expiry and owner stay.',
    'Ctrl-C stops it after a batch; run it again to go on. Exit code 1 if there are sessions that none of the keys can read.'
  ],
  run: async (context) => {
    if (textOption(context.given, 'options') === undefined) {
      throw new UsageError(
        'reencrypt needs --options <file>, a module with the codec of the application: encrypted({ keys: [newest, old] }). See: knex-session-store reencrypt --help'
      )
    }
    return onSite(context, (site) => runRewriting(site, context, { name: 'reencrypt', done: 're-encrypted' }, reencryptRows))
  }
}
