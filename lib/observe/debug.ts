import { createHash } from 'node:crypto'
import { debuglog } from 'node:util'

/** Printed when the process runs with `NODE_DEBUG=knex-session-store`. Give it no session id and no data: see {@link fingerprint}. */
export const debug = debuglog('knex-session-store')

/** Eight characters that tell two stored ids apart in a debug line and are of no use to anyone who reads it. */
export function fingerprint(storedId: string): string {
  return createHash('sha256').update('debug:').update(storedId).digest('base64url').slice(0, 8)
}
