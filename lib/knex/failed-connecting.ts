import type { KnexClient } from './knex-client'

/** Why a Knex gave no connection. */
export type ConnectingFailure =
  /** Knex was destroyed. */
  | { readonly reason: 'destroyed' }
  /** Knex was made without `connection`. */
  | { readonly reason: 'not-configured' }
  /**
   * The driver could not make a connection. `text` is the message of the driver. It is undefined if a function of the application may have
   * thrown it.
   */
  | { readonly reason: 'failed'; readonly text: string | undefined }

/** Long enough for every text of a driver that was seen, except for lists of files. */
const MAX_TEXT = 300

const failures = new WeakMap<object, ConnectingFailure>()

/** Notes that this error came before there was a connection, so no statement of ours is in its text. Returns the error. */
export function whileConnecting(client: KnexClient, error: unknown): unknown {
  if (typeof error === 'object' && error !== null) failures.set(error, failureOf(client, error))
  return error
}

/** Returns why there was no connection. Returns undefined for an error of a statement. */
export function failureOfConnecting(error: unknown): ConnectingFailure | undefined {
  return typeof error === 'object' && error !== null ? failures.get(error) : undefined
}

function failureOf(client: KnexClient, error: object): ConnectingFailure {
  const { config, pool, transacting } = client
  if (transacting !== true && (pool === undefined || pool.destroyed === true)) {
    const isConfigured = config.connection !== undefined || config.connectionPool !== undefined
    return { reason: isConfigured ? 'destroyed' : 'not-configured' }
  }
  const { message } = error as { message?: unknown }
  // These functions of the application may throw any error with any message.
  const mayBeOfApplication = typeof config.connection === 'function' || config.pool?.afterCreate !== undefined
  const isOfApplication = mayBeOfApplication && (error as { code?: unknown }).code === undefined
  return { reason: 'failed', text: typeof message !== 'string' || isOfApplication ? undefined : shown(message, client) }
}

/** Returns one line, without the secrets of the configuration. */
function shown(message: string, { connectionSettings, config }: KnexClient): string {
  const [text = ''] = message.split(/\s*\nRequire stack:/)
  let line = text.replace(/\s+/g, ' ').trim()
  for (const settings of [connectionSettings, config.connection]) {
    const password = (settings as { password?: unknown } | undefined)?.password
    if (typeof password === 'string' && password !== '') line = line.replaceAll(password, '…')
  }
  line = line.replace(/\/\/[^/\s]*@/g, '//…@')
  return line.length > MAX_TEXT ? `${line.slice(0, MAX_TEXT)}…` : line
}
