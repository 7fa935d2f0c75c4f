import { DISK_FULL, type Explanations, MISSING_DATABASE, NETWORK, NO_PASSWORD, NO_SSL, TOO_MANY_CONNECTIONS } from '../explanations'

const LACKS_CHARACTER =
  'the session has a character that the encoding of the database lacks (SHOW server_encoding), or client_encoding of the connection is not UTF8; use a database with the encoding UTF8'
const NOT_THIS_SERVER =
  'the server at this host and port is not PostgreSQL, or it closed the connection at once; correct host and port in the connection of the Knex configuration'
const STARTS = 'the server is starting, recovering or shutting down; try again when it is running'

export const POSTGRES_EXPLANATIONS: Explanations = {
  statement: {
    byCode: {
      // character_not_in_repertoire, untranslatable_character
      '22021': LACKS_CHARACTER,
      '22P05': LACKS_CHARACTER,
      // disk_full
      '53100': DISK_FULL
    },
    byText: []
  },
  connection: {
    byCode: {
      ...NETWORK,
      // invalid_password
      '28P01':
        'the password is wrong, or there is no such user; correct user and password in the connection of the Knex configuration, or set the password on the server: ALTER ROLE … PASSWORD …',
      // invalid_authorization_specification
      '28000':
        'the server does not let this user in: the role does not exist or may not log in, or no line of pg_hba.conf is for this user, database and host (if the driver says "no encryption", the server may require SSL: set ssl). Correct user, database and ssl in the connection of the Knex configuration, or pg_hba.conf on the server',
      // invalid_catalog_name
      '3D000': MISSING_DATABASE,
      // insufficient_privilege
      '42501': 'the user may not connect to the database; run: GRANT CONNECT ON DATABASE … TO …',
      // too_many_connections
      '53300': TOO_MANY_CONNECTIONS,
      // admin_shutdown, crash_shutdown, cannot_connect_now
      '57P01': STARTS,
      '57P02': STARTS,
      '57P03': STARTS
    },
    byText: [
      [/password must be a (non-empty )?string/, NO_PASSWORD],
      [/does not support SSL/, NO_SSL],
      [
        /^timeout expired$/,
        'the server did not respond in time (connectionTimeoutMillis); correct host and port, and check whether the server is overloaded'
      ],
      [/^Received unexpected |^Connection terminated|unexpected response|invalid response/i, NOT_THIS_SERVER]
    ]
  },
  readOnly:
    'it is a standby, or the statement was in a read-only transaction (default_transaction_read_only of the connection or its role); give the store a Knex of the primary'
}
