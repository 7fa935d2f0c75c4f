// Panel 1: signing in, "your devices", and ending them.
import { Router } from 'express'
import { Refusal } from '../guards.mjs'
import { userOf } from '../users.mjs'

export function devicesPanel({ knex, live }, store) {
  const routes = Router()

  routes.get('/devices', async (req, res) => {
    const { userId, name } = req.session
    if (userId === undefined) return res.json({ user: null, devices: [] })
    const devices = await store.ofOwner(userId, { current: req })
    // Without the session itself: a page of devices needs nothing of it.
    res.json({ user: name, devices: devices.map(({ session, ...device }) => device) })
  })

  // What changes a list of devices is told to every open page, once the session is saved: express-session holds back the end of the response.
  routes.post('/{*path}', (_req, res, next) => {
    res.once('finish', () => live.publish('devices'))
    next()
  })

  routes.post('/sign-in', (req, res, next) => {
    // A new id at the sign-in, and the password checked after it: so a log-out everywhere that comes meanwhile ends this sign-in too.
    req.session.regenerate(async (error) => {
      try {
        if (error) throw error
        const { name, password } = req.body ?? {}
        const user = await userOf(knex, String(name ?? '').trim(), String(password ?? ''))
        if (user === undefined) throw new Refusal(401, 'There is no user with this name and password. The seeded ones are below the form.')
        Object.assign(req.session, { userId: user.id, name: user.name })
        res.json({ user: user.name })
      } catch (failure) {
        next(failure)
      }
    })
  })

  routes.post('/sign-out', (req, res, next) => {
    req.session.destroy((error) => (error ? next(error) : res.json({ ended: 1 })))
  })

  routes.post('/end', async (req, res) => {
    const isEnded = await store.destroyHandle(String(req.body?.handle), { ownerId: ownerOf(req) })
    if (!isEnded) throw new Refusal(404, 'This device is signed out already.')
    res.json({ ended: 1 })
  })

  routes.post('/sign-out-others', async (req, res) => {
    res.json({ ended: await store.destroyOwner(ownerOf(req), { except: req }) })
  })

  routes.post('/sign-out-everywhere', async (req, res) => {
    res.json({ ended: await store.destroyOwner(ownerOf(req)) })
  })

  return routes
}

export function ownerOf(req) {
  if (req.session.userId === undefined) throw new Refusal(401, 'This device is signed out. Sign in first.')
  return req.session.userId
}
