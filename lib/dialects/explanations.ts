/** The meaning of a driver's errors and what to do about them, by the driver's code or number. */
export interface Explanations {
  /** Of a statement that failed. */
  readonly statement: Readonly<Record<string, string>>
  /** Of a connection that could not be made. */
  readonly connection: Readonly<Record<string, string>>
  /** The same by the text of the error, if its code says nothing. It decides what is said, never what is done. */
  readonly byText: readonly (readonly [text: RegExp, explanation: string])[]
  /** For a row that cannot be written because the whole database is read-only. */
  readonly readOnly: string
}

const WRONG_HOST = 'the host is not known; correct host in the connection of the Knex configuration, or see to the DNS'
const UNREACHED =
  'nothing answers at this host and port; see whether the server runs, whether host and port in the connection of the Knex configuration are its own, and whether a firewall is between'
const NOT_TRUSTED =
  'the certificate of the server is signed by nobody whom Node trusts; give its CA in the connection of the Knex configuration: ssl: { ca: readFileSync(file) }'

/** Of the way to any server. */
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
    'the other end closed the connection before it was made; see whether host and port are those of the database, and whether a firewall or proxy is between',
  DEPTH_ZERO_SELF_SIGNED_CERT: NOT_TRUSTED,
  SELF_SIGNED_CERT_IN_CHAIN: NOT_TRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: NOT_TRUSTED,
  UNABLE_TO_GET_ISSUER_CERT: NOT_TRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: NOT_TRUSTED,
  CERT_HAS_EXPIRED: 'the certificate of the server has expired; renew it there',
  ERR_TLS_CERT_ALTNAME_INVALID:
    'the certificate of the server is for another host name; use that name as host in the connection of the Knex configuration'
}

export const MISSING_DATABASE =
  'the database does not exist, and the store makes only its table; create it (CREATE DATABASE …), or correct database in the connection of the Knex configuration'
export const NO_PASSWORD = 'the server asks for a password and none is set; set password in the connection of the Knex configuration'
export const TOO_MANY_CONNECTIONS =
  'the server or the user has as many connections as are allowed; give each process a smaller pool (pool.max of the Knex configuration), or allow more on the server'
export const NO_SSL =
  'the server speaks no SSL and ssl is asked for; remove ssl from the connection of the Knex configuration, or switch SSL on at the server'
export const DISK_FULL = 'the disk of the database is full; make room there, reads still work and nothing has to be restarted'
