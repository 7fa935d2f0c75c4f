// Panel 2: the races, on each of the shops.
import { Router } from 'express'
import { Refusal } from '../guards.mjs'
import { RACES, race } from '../races.mjs'

const MOST_ROUNDS = 500

export function racesPanel({ shops }) {
  const routes = Router()

  routes.post('/races/:name/:shop', async (req, res) => {
    const { name, shop } = req.params
    const rounds = Number(req.body?.rounds)
    if (!Object.hasOwn(RACES, name) || !Object.hasOwn(shops, shop)) throw new Refusal(404, 'There is no such race.')
    if (!Number.isInteger(rounds) || rounds < 1 || rounds > MOST_ROUNDS) {
      throw new Refusal(400, `The number of rounds must be between 1 and ${MOST_ROUNDS}.`)
    }
    res.json(await race(shops[shop], name, rounds))
  })

  return routes
}
