import { DETAILS } from './details'

/** The keys and values of a session, as {@link entriesOf} returns them for a merge. */
export type Entries = ReadonlyMap<string, unknown>

/** The text before each key inside the `data` of an envelope. No key of an envelope itself begins with it. */
const INSIDE = 'data.'
const ENVELOPE_KEYS = ['cookie', 'data', 'header']

/**
 * The keys and values of a session. Values are whole, with one exception: express-openid-connect keeps the session of the application
 * under the one key `data`, beside `header` and `cookie`. Requests change the keys inside `data`, so each of them is an entry.
 */
export function entriesOf(session: object): Entries {
  if (!isEnvelope(session)) return new Map(Object.entries(session))
  const inside = Object.entries(session.data).map(([key, value]): [string, unknown] => [INSIDE + key, value])
  const details: [string, unknown][] = DETAILS in session ? [[DETAILS, session[DETAILS]]] : []
  return new Map<string, unknown>([['header', session.header], ...inside, ['cookie', session.cookie], ...details])
}

/** Makes a session of entries. `like` tells whether it is an envelope. */
export function sessionOf(entries: Iterable<readonly [string, unknown]>, like: object): Record<string, unknown> {
  // fromEntries defines own properties: a key named __proto__ stays a key.
  if (!isEnvelope(like)) return Object.fromEntries(entries)
  const all = [...entries]
  const data = all.filter(([key]) => key.startsWith(INSIDE)).map(([key, value]) => [key.slice(INSIDE.length), value] as const)
  const { header, cookie, [DETAILS]: details } = Object.fromEntries(all)
  return { header, data: Object.fromEntries(data), cookie, ...(details === undefined ? {} : { [DETAILS]: details }) }
}

/** The keys as the application knows them. Leaves out the details, and the other keys of an envelope, because they change with each request. */
export function namesOf(keys: readonly string[], like: object): string[] {
  if (!isEnvelope(like)) return keys.filter((key) => key !== DETAILS)
  return keys.filter((key) => key.startsWith(INSIDE)).map((key) => key.slice(INSIDE.length))
}

/** A session as express-openid-connect sets it. */
interface Envelope {
  readonly header: object
  readonly data: object
  readonly cookie: object
}

/** True for `{ header: { iat, uat, exp }, data: {…}, cookie: {…} }`, and no other key but that of the details. */
export function isEnvelope(session: object): session is Envelope {
  const keys = Object.keys(session).filter((key) => key !== DETAILS)
  if (keys.length !== ENVELOPE_KEYS.length || !ENVELOPE_KEYS.every((key) => keys.includes(key))) return false
  const { header, data } = session as { header: { iat?: unknown; uat?: unknown; exp?: unknown } | null; data: unknown }
  if (typeof data !== 'object' || data === null || Array.isArray(data)) return false
  return [header?.iat, header?.uat, header?.exp].every((moment) => typeof moment === 'number')
}
