import { NestFactory } from '@nestjs/core'
import session from 'express-session'
import { KnexSessionStore } from 'knex-session-store'
import { AppModule } from './app.module.js'

const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] })
const secret = process.env.SESSION_SECRET ?? 'only for this example'
app.use(session({ store: app.get(KnexSessionStore), secret, resave: false, saveUninitialized: false }))
// Ctrl-C calls onApplicationShutdown of the modules, and then ends with code 0.
app.enableShutdownHooks([], { useProcessExit: true })
await app.listen(process.env.PORT ?? 3000, '127.0.0.1')
console.log(await app.getUrl())
