import createKnex, { type Knex } from 'knex'
import { KnexSessionStore } from 'knex-session-store'
import type { Worker } from '../support/processes.ts'
import { Requests } from './requests.mts'
import { type Outcome, ownerOf, type Step, TTL_MS } from './steps.mts'

/** What a process is told to do next. */
export type Instruction = { readonly step: Step; readonly now: number; readonly sessionIds: readonly string[] } | { readonly end: true }

export default (async ({ config, url }) => {
  const knex = createKnex(config)
  const store = new KnexSessionStore({ knex, pruneIntervalMs: false, touchAfterMs: 0, ttlSeconds: TTL_MS / 1000, owner: ownerOf })
  await store.ready()
  const requests = new Requests(store)
  let outcome: Outcome = { events: [] }
  for (;;) {
    const response = await fetch(url, { method: 'POST', body: JSON.stringify(outcome) })
    const instruction = (await response.json()) as Instruction
    if ('end' in instruction) break
    Date.now = () => instruction.now
    outcome = await requests.perform(instruction.step, instruction.sessionIds)
  }
  await store.close()
  await knex.destroy()
}) satisfies Worker<{ config: Knex.Config; url: string }>
