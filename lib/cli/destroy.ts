import { type Command, type Context, textOption } from './command'
import { SetupError, UsageError } from './command-errors'
import { CONNECTION, PREFIX, TABLE } from './common-options'
import { EXIT } from './exit-codes'
import { otherPrefixes, sessionsOf } from './owner'
import { counted } from './screen'
import { onSite } from './site'

export const destroy: Command = {
  name: 'destroy',
  about: 'Ends all sessions of an owner, or all but one',
  values: [],
  options: {
    owner: { value: 'id', about: "whose sessions: what the store's option owner returns" },
    except: { value: 'handle', about: 'the session to keep, by its handle (see: knex-session-store owner <id>)' },
    ...CONNECTION,
    ...TABLE,
    ...PREFIX
  },
  details: [
    'The sessions end also for requests that hold them now. Without --options, sessions under hashed ids and under plain ids are found; if the',
    'store has the option prefix, give it. If it has the option migrateFrom, give --options.'
  ],
  run: async (context: Context) => {
    const ownerId = textOption(context.given, 'owner')
    const except = textOption(context.given, 'except')
    if (ownerId === undefined) throw new UsageError('destroy needs --owner <id>. See: knex-session-store destroy --help')
    return onSite(context, async (site) => {
      const { store } = site
      if (except !== undefined && !(await sessionsOf(store, ownerId)).some(({ handle }) => handle === except)) {
        throw new SetupError(
          'no live session of this owner has the handle of --except, so none was ended. See: knex-session-store owner <id>'
        )
      }
      const destroyed = await store.destroyOwner(ownerId, except === undefined ? {} : { except })
      const others = await otherPrefixes(site, ownerId)
      context.screen.result({ ok: true, destroyed, ...others.json }, `ended ${counted(destroyed, 'session')}`, ...others.lines)
      return EXIT.fine
    })
  }
}
