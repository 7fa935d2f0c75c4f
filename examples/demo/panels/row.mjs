// Panel 4: the row as it is stored, beside the cookie that belongs to it.
import { Router } from 'express'
import { storedIdOf } from 'knex-session-store'
import { TABLES } from '../database.mjs'

export function rowPanel({ knex, encryption, live }) {
  const routes = Router()

  routes.get('/row', async (req, res) => {
    const { cookie } = req.headers
    // The request has loaded its session, so a row of the other kind is written anew by now.
    const row =
      req.session.userId === undefined
        ? undefined
        : await knex(TABLES.sessions)
            .where({ id: storedIdOf(req.sessionID) })
            .first()
    res.json({ cookie: row && masked(cookie), row: row ?? null, isEncrypted: encryption.state.isOn })
  })

  routes.post('/encryption', (req, res) => {
    encryption.state.isOn = req.body?.isOn === true
    live.publish('row')
    res.json({ isOn: encryption.state.isOn })
  })

  return routes
}

/** A page that shows a whole session cookie would show it to every script on it. */
function masked(cookies) {
  const [, name, id, signature] = /(device-\d)=s%3A([^.;]+)\.([^;]+)/.exec(cookies)
  return { name, id: shortened(id), signature: shortened(decodeURIComponent(signature)) }
}

function shortened(text) {
  return `${text.slice(0, 6)}${'•'.repeat(8)}`
}
