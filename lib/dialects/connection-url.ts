import { Hidden, InvalidOptionError } from '../errors'

/** How a database is reached that was given by its URL. */
export interface UrlTarget {
  /** The Knex clients that can reach it, by the names of their drivers' packages; the best first. */
  readonly clients: readonly string[]
  /** What Knex takes as `connection`. */
  readonly connection: string | { readonly filename: string }
}

const POSTGRES = ['pg']
const MYSQL = ['mysql2', 'mysql']
const SQLITE = ['better-sqlite3', 'sqlite3']

const CLIENTS: Readonly<Record<string, readonly string[]>> = {
  postgres: POSTGRES,
  postgresql: POSTGRES,
  mysql: MYSQL,
  mariadb: MYSQL,
  sqlite: SQLITE,
  cockroachdb: ['cockroachdb']
}

/** A client in a configuration of Knex, for messages. */
export const CLIENT_EXAMPLE = "client: 'pg'"

/** What a URL may look like, for the help. */
export const URL_FORMS = 'postgres://…, mysql://…, mariadb://…, cockroachdb://… or sqlite:file'

const ALLOWED =
  'a URL that begins with postgres://, postgresql://, mysql://, mariadb:// or cockroachdb://, or sqlite: and the path of a file'

/** Returns how the database of the URL is reached. Throws if it is of another kind; the message does not show the URL. */
export function targetOfUrl(url: string): UrlTarget {
  const [, scheme = '', rest = ''] = /^([a-z]+):(.*)$/is.exec(url) ?? []
  const clients = Object.hasOwn(CLIENTS, scheme.toLowerCase()) ? CLIENTS[scheme.toLowerCase()] : undefined
  if (clients === undefined) throw new InvalidOptionError('--url', ALLOWED, new Hidden(url))
  if (clients === SQLITE) return { clients, connection: { filename: fileOf(rest) } }
  if (!isClearUrl(url))
    throw new InvalidOptionError('--url', ALLOWED, new Hidden(url), '; characters like @ / # in a password are written as %40 %2F %23')
  // Knex and the drivers know the first name of a scheme alone.
  return { clients, connection: `${clients === MYSQL ? 'mysql' : 'postgres'}:${rest}` }
}

/**
 * False if the text is no URL, or if a part of the password would be taken for the host, which a driver then shows: an @ comes after the host.
 * Values of parameters may have one.
 */
function isClearUrl(url: string): boolean {
  const [, path = ''] = /:\/\/[^/?#]*(.*)$/s.exec(url) ?? []
  return URL.canParse(url) && !path.replace(/[?&][\w.-]+=[^&#]*/g, '').includes('@')
}

/** `sqlite:app.sqlite`, `sqlite:./app.sqlite`, `sqlite:/var/app.sqlite` and `sqlite:///var/app.sqlite`. */
function fileOf(rest: string): string {
  const path = rest.replace(/^\/\/(?=\/)/, '').replace(/^\/\//, '')
  if (path === '') throw new InvalidOptionError('--url', 'sqlite: and the path of a file', new Hidden(rest))
  return path
}

/** The packages that have the drivers of Knex's clients, where their names differ. */
const PACKAGES: Readonly<Record<string, string>> = { postgres: 'pg', postgresql: 'pg', cockroachdb: 'pg', sqlite: 'sqlite3' }

/** Returns the npm package of the driver that a Knex client needs. */
export function driverPackageOf(client: string): string {
  return Object.hasOwn(PACKAGES, client) ? (PACKAGES[client] as string) : client
}

/** Where a connection leads, as far as it has to be looked at before a driver gets it. */
export type ConnectionTarget =
  /** A file. */
  | { readonly file: string }
  /** Why no command can use it, or undefined. */
  | { readonly refusal: string | undefined }

const IN_MEMORY = 'it is a database in memory, which another process cannot see: name the file of a database'
const NO_FILE = "it names no file; write connection: { filename: 'app.sqlite' }"
const NO_URL = 'the text is no valid URL; characters like @ / # in a password are written as %40 %2F %23'

/** True for a client whose driver opens a file by itself. */
export function isEmbedded(client: string): boolean {
  return SQLITE.includes(driverPackageOf(client))
}

/** Returns where the connection of a Knex client leads. The driver of an embedded database makes the file if there is none. */
export function connectionTarget(client: string, connection: unknown): ConnectionTarget {
  const isText = typeof connection === 'string'
  if (!isEmbedded(client)) {
    return { refusal: isText && !isClearUrl(connection) ? NO_URL : undefined }
  }
  // Knex takes a URL apart as that of a server, but not a path of Windows, which begins like one.
  if (isText && URL.canParse(connection) && !/^[a-z]:[\\/]/i.test(connection)) {
    return { refusal: connection.includes(':memory:') ? IN_MEMORY : NO_FILE }
  }
  const { filename, flags } = isText ? { filename: connection, flags: [] } : ((connection ?? {}) as { filename?: unknown; flags?: unknown })
  if (typeof filename !== 'string') return { refusal: NO_FILE }
  if (filename === '' || /:memory:|[?&]mode=memory/.test(filename)) return { refusal: IN_MEMORY }
  // Only with this flag the driver takes it for a URI.
  const isUri = Array.isArray(flags) && flags.includes('OPEN_URI') && filename.startsWith('file:')
  return { file: isUri ? filename.replace(/^file:(\/\/)?|\?.*$/g, '') : filename }
}
