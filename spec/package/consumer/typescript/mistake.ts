import createKnex from 'knex'
import { KnexSessionStore } from 'knex-session-store'

export const store = new KnexSessionStore({ knex: createKnex({ client: 'pg' }), tableNmae: 'sessions' })
