import type { Knex } from 'knex'

/**
 * Pruning goes by the database's clock, which no spec can move: so the dead rows are moved instead, beyond the grace. But not the marks of
 * log-outs everywhere: no request lives as long as they do.
 */
export async function ageTheDead(knex: Knex, now: number): Promise<void> {
  await knex('sessions')
    .where('expires_at', '<=', now)
    .whereNot('id', 'like', 'knex-session-store:log-out:%')
    .update({ expires_at: 1, expires_hour: 1 })
}

/** When the rows end that are alive, in order. */
export async function expiriesOf(knex: Knex, now: number): Promise<number[]> {
  const rows = (await knex('sessions').where('expires_at', '>', now).select('expires_at')) as { expires_at: unknown }[]
  return rows.map(({ expires_at }) => Number(expires_at)).sort((a, b) => a - b)
}
