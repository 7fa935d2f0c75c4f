import type { OwnedSession } from '../sessions/owners'
import type { KnexSessionStore } from '../store'
import { rangeOf } from '../table/live-rows'
import type { Command, Context } from './command'
import { CONNECTION, PREFIX, TABLE } from './common-options'
import { EXIT } from './exit-codes'
import { counted, inColumns, moment } from './screen'
import { onSite, type Site } from './site'

const PAGE = 1000

export const owner: Command = {
  name: 'owner',
  about: 'Lists the live sessions of an owner, the newest first',
  values: ['<id>'],
  options: { ...CONNECTION, ...TABLE, ...PREFIX },
  details: [
    "The owner is what the store's option owner returns: a user's id. A handle stands for a session, leads to none, and ends one:",
    'knex-session-store destroy --owner <id> --except <handle>'
  ],
  run: (context: Context) =>
    onSite(context, async (site) => {
      const ownerId = context.given.values[0] as string
      const sessions = await sessionsOf(site.store, ownerId)
      const others = await otherPrefixes(site, ownerId)
      const json = sessions.map(({ handle, createdAt, lastSeenAt, expiresAt }) => ({
        handle,
        createdAt: new Date(createdAt).toISOString(),
        lastSeenAt: new Date(lastSeenAt).toISOString(),
        expiresAt: new Date(expiresAt).toISOString()
      }))
      const rows = sessions.map(({ handle, createdAt, lastSeenAt, expiresAt }) => [
        handle,
        ...[createdAt, lastSeenAt, expiresAt].map(moment)
      ])
      const table = rows.length === 0 ? [] : inColumns([['handle', 'began', 'last seen', 'ends'], ...rows])
      context.screen.result(
        { ok: true, sessions: json, ...others.json },
        ...table,
        counted(sessions.length, 'live session'),
        ...others.lines
      )
      return EXIT.fine
    })
}

/**
 * Counts live sessions of the owner that are outside of the store's range, and says how to reach them. They may belong to another store, or
 * the user may have left out the prefix.
 */
export async function otherPrefixes({ parts, options }: Site, ownerId: string): Promise<{ json: object; lines: string[] }> {
  const others = await parts.table.outOfRange(rangeOf(options), ownerId)
  const lines = others.map(({ prefix, count }) => {
    const [where, how] =
      prefix === '' ? ['without this prefix', 'leave out --prefix'] : [`under the prefix "${prefix}"`, `give --prefix ${prefix}`]
    const isOne = count === 1
    return `! ${counted(count, 'more live session')} of this owner ${isOne ? 'is' : 'are'} ${where}; if ${isOne ? 'it is' : 'they are'} of your application, ${how} (or its --options)`
  })
  return { json: { otherPrefixes: others.map(({ prefix, count }) => ({ prefix, live: count })) }, lines }
}

/** Returns all live sessions of an owner, page by page. */
export async function sessionsOf(store: KnexSessionStore, ownerId: string): Promise<OwnedSession[]> {
  const sessions: OwnedSession[] = []
  for (;;) {
    const last = sessions.at(-1)
    const page = await store.ofOwner(ownerId, { limit: PAGE, ...(last !== undefined && { after: last.handle }) })
    sessions.push(...page)
    if (page.length < PAGE) return sessions
  }
}
