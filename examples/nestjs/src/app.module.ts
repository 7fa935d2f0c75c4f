// Sign in, log out, log out everywhere.
import { promisify } from 'node:util'
import { BadRequestException, Body, Controller, Get, Inject, Module, Post, Redirect, Req, Res, Session } from '@nestjs/common'
import type { Request, Response } from 'express'
import type { SessionData } from 'express-session'
import { KnexSessionStore } from 'knex-session-store'
import { SessionsModule } from './sessions.module.js'

@Controller()
class VisitsController {
  constructor(@Inject(KnexSessionStore) private readonly store: KnexSessionStore) {}

  @Get()
  home(@Session() session: Partial<SessionData>) {
    if (session.name === undefined) return 'Nobody is signed in.\n'
    session.visits = (session.visits ?? 0) + 1
    return `Hello ${session.name}, visit number ${session.visits}.\n`
  }

  @Post('sign-in')
  @Redirect('/', 303)
  async signIn(@Req() req: Request, @Body('name') name?: unknown) {
    if (typeof name !== 'string' || name === '' || name.length > 255) throw new BadRequestException('a name of 1 to 255 characters, please')
    // Check the password here. Then a new id: one that was planted before the sign-in is of no use.
    // regenerate() replaces req.session, so do not take the session from @Session() here.
    await promisify(req.session.regenerate).call(req.session)
    req.session.name = name
  }

  @Post('log-out')
  @Redirect('/', 303)
  async logOut(@Req() req: Request, @Res({ passthrough: true }) res: Response) {
    await promisify(req.session.destroy).call(req.session)
    res.clearCookie('connect.sid')
  }

  @Post('log-out-everywhere')
  @Redirect('/', 303)
  async logOutEverywhere(@Session() session: Partial<SessionData>, @Res({ passthrough: true }) res: Response) {
    if (session.name !== undefined) await this.store.destroyOwner(session.name)
    res.clearCookie('connect.sid')
  }
}

@Module({ imports: [SessionsModule], controllers: [VisitsController] })
export class AppModule {}
