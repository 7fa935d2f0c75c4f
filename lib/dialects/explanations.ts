/** What a driver's errors mean and what to do about them. */
export interface ErrorTexts {
  /** By the driver's code or number. */
  readonly byCode: Readonly<Record<string, string>>
  /** By the text of the error, if its code says nothing. The text decides what the message says, and never what the store does. */
  readonly byText: readonly (readonly [text: RegExp, explanation: string])[]
}

/** The explanations of a dialect. */
export interface Explanations {
  /** For a statement that failed. */
  readonly statement: ErrorTexts
  /** For a connection that could not be made. */
  readonly connection: ErrorTexts
  /** For a row that cannot be written because the whole database is read-only. */
  readonly readOnly: string
}

const WRONG_HOST = 'the host name cannot be resolved; correct host in the connection of the Knex configuration, or check the DNS'
const UNREACHED =
  'no server responds at this host and port; check whether the server runs, whether host and port in the connection of the Knex configuration are right, and whether a firewall blocks the connection'
export const NOT_TRUSTED =
  'the certificate of the server is not signed by an authority that Node trusts; give its CA in the connection of the Knex configuration: ssl: { ca: readFileSync(file) }'

export const CERTIFICATE_EXPIRED = 'the certificate of the server has expired; renew it on the server'
export const OTHER_HOST_NAME =
  'the certificate of the server is for another host name; use the name of the certificate as host in the connection of the Knex configuration'

/** Errors of the network, on the way to any server. */
export const NETWORK: Readonly<Record<string, string>> = {
  ENOTFOUND: WRONG_HOST,
  EAI_AGAIN: WRONG_HOST,
  ECONNREFUSED: UNREACHED,
  EHOSTUNREACH: UNREACHED,
  ENETUNREACH: UNREACHED,
  ETIMEDOUT: UNREACHED,
  // A socket that is a file.
  ENOENT: UNREACHED,
  EACCES: 'this process may not use the socket of the server; change its permissions, or the user that the process runs as',
  ECONNRESET:
    'the connection was closed before it was made; check whether host and port are those of the database, and whether a firewall or proxy closes the connection',
  DEPTH_ZERO_SELF_SIGNED_CERT: NOT_TRUSTED,
  SELF_SIGNED_CERT_IN_CHAIN: NOT_TRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: NOT_TRUSTED,
  UNABLE_TO_GET_ISSUER_CERT: NOT_TRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: NOT_TRUSTED,
  CERT_HAS_EXPIRED: CERTIFICATE_EXPIRED,
  ERR_TLS_CERT_ALTNAME_INVALID: OTHER_HOST_NAME
}

export const MISSING_DATABASE =
  'the database does not exist, and the store makes only its table; create it (CREATE DATABASE …), or correct database in the connection of the Knex configuration'
export const NO_PASSWORD = 'the server asks for a password and none is given; set password in the connection of the Knex configuration'
export const TOO_MANY_CONNECTIONS =
  'the server or the user has reached its limit of connections; give each process a smaller pool (pool.max of the Knex configuration), or raise the limit on the server'
export const NO_SSL =
  'ssl is set but the server does not support SSL; remove ssl from the connection of the Knex configuration, or switch SSL on at the server'
export const DISK_FULL = 'the disk of the database is full; free space there. Reads still work, and nothing has to be restarted'
