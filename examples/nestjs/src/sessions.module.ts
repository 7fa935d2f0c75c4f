// The database and the store as providers, so that everything else gets the store by injection, and both close with the application.
import { Inject, Module, type OnApplicationShutdown } from '@nestjs/common'
import createKnex, { type Knex } from 'knex'
import { KnexSessionStore } from 'knex-session-store'

declare module 'express-session' {
  interface SessionData {
    name: string
    visits: number
  }
}

const KNEX = Symbol('knex')

@Module({
  providers: [
    {
      provide: KNEX,
      useFactory: () => createKnex({ client: 'better-sqlite3', connection: { filename: 'sessions.sqlite' }, useNullAsDefault: true })
    },
    {
      provide: KnexSessionStore,
      inject: [KNEX],
      useFactory: (knex: Knex) => new KnexSessionStore({ knex, owner: (session) => session.name, onError: (error) => console.error(error) })
    }
  ],
  exports: [KnexSessionStore]
})
export class SessionsModule implements OnApplicationShutdown {
  constructor(
    @Inject(KNEX) private readonly knex: Knex,
    @Inject(KnexSessionStore) private readonly store: KnexSessionStore
  ) {}

  // After the server has closed: no request needs the store any more.
  async onApplicationShutdown() {
    await this.store.close()
    await this.knex.destroy()
  }
}
