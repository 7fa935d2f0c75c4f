import { debuglog } from 'node:util'

/** Prints when the process runs with `NODE_DEBUG=knex-session-store`. No session id and no data may be in a line. */
export const debug = debuglog('knex-session-store')
