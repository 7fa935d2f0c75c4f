import { get } from 'node:http'
import { expect, it, vi } from 'vitest'
import { describeDatabases } from '../support/databases'
import { PATIENT } from '../support/patience'
import { usedConnections } from './names'
import { EXPRESS, withSite } from './site'

const REQUESTS = 1000
const AT_ONCE = 20

describeDatabases('no connection is left behind', (database) => {
  for (const [version, express] of Object.entries(EXPRESS)) {
    it(`after ${REQUESTS} mixed requests, aborted ones among them (${version})`, { timeout: 120_000 }, () =>
      withSite({ database, express }, async ({ work, knex, on, url, server }) => {
        const ok: string[] = []
        on('/:kind/:id', async (req, res) => {
          const { kind, id } = req.params
          if (kind === 'idle') return res.end()
          await work.db('names').insert({ name: `${kind} ${id}` })
          if (kind === 'throw') throw new RangeError('on purpose')
          if (kind === 'sql') await work.db('no_such_table')
          if (kind === 'swallow') await Promise.allSettled([work.db('no_such_table'), work.db('names').select()])
          if (kind === 'nested') await work.run(() => work.db('names').insert({ name: `nested ${id} too` }))
          if (kind === 'forgotten') void work.db.transaction()
          if (kind === 'floating') void work.db.transaction(() => work.db('names').select()).catch(() => undefined)
          if (kind === 'stream') for await (const _ of work.db('names').select().stream()) break
          if (kind === 'never') return
          return res.status(kind === 'refuse' ? 422 : 200).json({ kind })
        })
        const kinds = [
          'ok',
          'ok',
          'ok',
          'nested',
          'idle',
          'throw',
          'sql',
          'swallow',
          'refuse',
          'forgotten',
          'floating',
          'stream',
          'abort',
          'abort',
          'never'
        ]
        let next = 0
        const client = async () => {
          for (let id = next++; id < REQUESTS; id = next++) {
            const kind = kinds[id % kinds.length] ?? 'ok'
            const isAborted = kind === 'abort' || kind === 'never'
            await new Promise<void>((resolve) => {
              const request = get(`${url}/${kind}/${id}`, (response) => {
                if (kind === 'ok' && response.statusCode === 200) ok.push(`ok ${id}`)
                response.resume().once('close', resolve)
              })
              request.once('error', () => resolve())
              // At all sorts of moments: before the first statement, during one, during the commit.
              if (isAborted) setTimeout(() => request.destroy(), id % 7)
            })
          }
        }
        await Promise.all(Array.from({ length: AT_ONCE }, client))
        server.closeAllConnections()
        await vi.waitFor(() => expect(usedConnections(knex)).toBe(0), PATIENT)
        const { length } = ok
        expect(length).toBeGreaterThan(REQUESTS / 6)
        expect(await knex('names').where('name', 'like', 'ok %').orderBy('name').pluck('name')).toEqual(ok.sort())
        const rest = await knex('names').whereNot('name', 'like', 'ok %').pluck('name')
        const committed = new Set(rest.map((name: string) => name.split(' ')[0]))
        // An abort may come too late.
        committed.delete('abort')
        expect([...committed].sort()).toEqual(['floating', 'nested', 'stream'])
      })
    )
  }
})
