import type { Server } from 'node:http'
import type { Express, NextFunction, Request, Response } from 'express'
import express5 from 'express'
import express4 from 'express4'
import type { Knex } from 'knex'
import { type UnitOfWork, type UnitOfWorkOptions, unitOfWork } from '../../lib/unit-of-work'
import type { Database } from '../support/databases'
import { serve } from '../support/http'
import { openNames, usedConnections } from './names'

/** Both are supported. */
export const EXPRESS: Readonly<Record<string, typeof express5>> = {
  'Express 4': express4,
  'Express 5': express5
}

export type Handler = (req: Request, res: Response, next: NextFunction) => unknown

/** An application with `work.middleware()` that listens. */
export interface Site {
  readonly knex: Knex
  readonly work: UnitOfWork
  readonly app: Express
  readonly url: string
  readonly server: Server
  readonly statements: string[]
  /** Mounts a handler; its rejections go to `next`, which Express 4 does not do itself. */
  on(path: string, handler: Handler): void
  visit(path: string, init?: RequestInit): Promise<{ status: number; text: string; headers: Headers }>
}

export interface SiteOptions {
  readonly database: Database
  readonly express?: typeof express5
  readonly work?: UnitOfWorkOptions
  /** Mounts what comes before `work.middleware()`. */
  readonly before?: (app: Express, knex: Knex) => void
  readonly middleware?: boolean
  /** Laid over the configuration of Knex. */
  readonly knex?: Knex.Config | undefined
}

export async function withSite(options: SiteOptions, use: (site: Site) => Promise<void>): Promise<void> {
  await using opened = await openNames(options.database, options.knex ? { knex: options.knex } : undefined)
  const work = unitOfWork(opened.knex, options.work)
  const app = (options.express ?? express5)()
  // Express prints what its default error handler answers, but for this environment.
  app.set('env', 'test')
  options.before?.(app, opened.knex)
  if (options.middleware ?? true) app.use(work.middleware())
  await using served = await serve(app)
  await use({
    knex: opened.knex,
    statements: opened.statements,
    work,
    app,
    url: served.url,
    server: served.server,
    on: (path, handler) => {
      app.all(path, (req, res, next) => {
        // Also for a handler that throws before it returns a promise.
        new Promise((resolve) => resolve(handler(req, res, next))).catch(next)
      })
    },
    async visit(path, init) {
      const response = await fetch(served.url + path, init)
      return { status: response.status, text: await response.text(), headers: response.headers }
    }
  })
  // A store keeps a connection for the rest of the turn in which it was answered.
  await new Promise((resolve) => setImmediate(resolve))
  if (usedConnections(opened.knex) > 0) throw new Error(`${usedConnections(opened.knex)} connections are still held`)
}
