import { once } from 'node:events'
import { get, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import createFastify, { type FastifyReply } from 'fastify'
import { expect, it, vi } from 'vitest'
import { unitOfWork } from '../../lib/unit-of-work'
import { describeDatabases } from '../support/databases'
import { serve } from '../support/http'
import { PATIENT } from '../support/patience'
import { namesIn, openNames, usedConnections } from './names'

type Act = (res: ServerResponse) => unknown

/** Calls that Node refuses, or takes in a way that is easily lost. */
const ACTS: Readonly<Record<string, Act>> = {
  'a header with a line break, in writeHead': (res) => res.writeHead(302, { Location: 'a\r\nb' }),
  'a header with a line break, in writeHead after others were set': (res) => {
    res.setHeader('X-Before', '1')
    res.writeHead(302, { 'X-With': '2', Location: 'a\r\nb' })
  },
  'an invalid name of a header': (res) => res.writeHead(200, { 'a b': '1' }),
  'a header without a value': (res) => res.writeHead(200, { 'x-a': undefined as never }),
  'an odd list of headers': (res) => res.writeHead(200, ['x-a', '1', 'x-b'] as never),
  'an invalid header, set': (res) => res.setHeader('x-a', 'a\nb'),
  'an invalid header, appended': (res) => res.appendHeader('x a', 'b'),
  'a status of 1000': (res) => res.writeHead(1000),
  'a status of 99': (res) => res.writeHead(99),
  'a status that is a word': (res) => res.writeHead('ok' as never),
  'a status of 0, set before the end': (res) => {
    res.statusCode = 0
    res.end('body')
  },
  'a status of 1000, set before a write': (res) => {
    res.statusCode = 1000
    res.write('body')
  },
  'a status of 1000, set before the head is flushed': (res) => {
    res.statusCode = 1000
    res.flushHeaders()
  },
  'a reason with a line break': (res) => res.writeHead(200, 'a\r\nb'),
  'a reason with a line break, set': (res) => {
    res.statusMessage = 'a\nb'
    res.end('body')
  },
  'a chunk that is an object': (res) => res.write({ a: 1 } as never),
  'a chunk that is a number': (res) => res.write(7 as never),
  'a chunk that is null': (res) => res.write(null as never),
  'a last chunk that is an object': (res) => res.end({ a: 1 } as never),
  'a second chunk that is an object': (res) => {
    res.write('first')
    res.write({ a: 1 } as never)
  },
  'a last chunk that is an object, after one that was sent': (res) => {
    res.write('first')
    res.end(Symbol('last') as never)
  },
  'a second head': (res) => {
    res.writeHead(200)
    res.writeHead(404)
  },
  'a header after the head': (res) => {
    res.writeHead(200)
    res.setHeader('x-late', '1')
  },
  'a header after the first chunk': (res) => {
    res.write('first')
    res.setHeader('x-late', '1')
  },
  'a head after the first chunk': (res) => {
    res.write('first')
    res.writeHead(404)
  },
  'a trailer that was not announced by chunks': (res) => {
    res.setHeader('Trailer', 'x-after')
    res.end('body')
  },
  'a trailer that is none': (res) => res.addTrailers({ 'x-after': 'a\nb' }),
  trailers: (res) => {
    res.writeHead(200, { Trailer: 'x-after' })
    res.write('body')
    res.addTrailers({ 'x-after': '1' })
    res.end()
  },
  'more than was promised': (res) => {
    res.strictContentLength = true
    res.setHeader('content-length', 2)
    res.end('three')
  },
  'a write after the end': (res) => {
    res.on('error', (error) => res.req.socket.emit('told', error))
    res.end('body')
    res.write('more')
  },
  'a second end': (res) => {
    res.end('body')
    res.end()
  },
  'a head with a word for a status': (res) => {
    res.writeHead('201' as never, 'Made', { 'x-a': ['1', '2'] })
    res.end('body')
  },
  'the state after the end': (res) => {
    res.end('body')
    return { headersSent: res.headersSent, writableEnded: res.writableEnded }
  },
  'the state after the head': (res) => {
    res.writeHead(203)
    const { headersSent, statusCode, writableEnded } = res
    res.end()
    return { headersSent, statusCode, writableEnded }
  }
}

/** What a handler does about an error, or without one. */
const DECISIONS: Readonly<Record<string, Act>> = {
  'answers 500': (res) => answer(res, 500, 'sorry'),
  'goes on': (res) => answer(res, 200, 'all the same')
}

interface Seen {
  readonly status: number
  readonly body: string
  readonly headers: Readonly<Record<string, unknown>>
  readonly trailers: Readonly<Record<string, unknown>>
  /** What the handler got: an error, or a value. */
  readonly outcome: unknown
}

describeDatabases('a response is refused as Node refuses it', (database) => {
  for (const [title, act] of Object.entries(ACTS)) {
    it(`${title}: at the same moment, with the same error, before anything is committed`, async () => {
      await using opened = await openNames(database)
      const work = unitOfWork(opened.knex)
      const middleware = work.middleware()
      for (const [decision, decide] of Object.entries(DECISIONS)) {
        const [plain, inUnit] = await Promise.all([
          visit((_req, res) => perform(res, act, decide)),
          visit((req, res) => {
            middleware(req, res, () => {
              work
                .db('names')
                .insert({ name: 'ada' })
                .then(() => perform(res, act, decide))
            })
          })
        ])
        expect({ decision, ...inUnit }).toEqual({ decision, ...plain })
        await vi.waitFor(() => expect(usedConnections(opened.knex)).toBe(0), PATIENT)
        expect({ decision, names: await namesIn(opened.knex) }).toEqual({ decision, names: plain.status < 400 ? ['ada'] : [] })
        await opened.knex('names').del()
      }
    })
  }

  it('the same through Fastify, which looks at a reply after its hooks', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    const acts: Readonly<Record<string, (reply: FastifyReply) => unknown>> = {
      header: (reply) => reply.header('location', 'a\r\nb').send('body'),
      name: (reply) => reply.header('a b', '1').send('body'),
      status: (reply) => {
        reply.raw.statusCode = 1000
        return reply.send('body')
      },
      payload: (reply) => reply.type('text/plain').send(7 as never),
      response: (reply) => reply.send(new Response('no', { status: 409 })),
      fine: (reply) => reply.header('x-a', ['1', '2']).status(201).send('body')
    }
    for (const [act, send] of Object.entries(acts)) {
      const [plain, inUnit] = await Promise.all(
        [false, true].map(async (hasUnit) => {
          const fastify = createFastify()
          if (hasUnit) await fastify.register(work.fastifyPlugin())
          fastify.get('/', async (_request, reply) => {
            if (hasUnit) await work.db('names').insert({ name: act })
            send(reply)
            return reply
          })
          await fastify.listen({ port: 0, host: '127.0.0.1' })
          try {
            const { port } = fastify.server.address() as AddressInfo
            const response = await fetch(`http://127.0.0.1:${port}/`, { redirect: 'manual' })
            return { status: response.status, text: await response.text() }
          } finally {
            await fastify.close()
          }
        })
      )
      expect({ act, ...inUnit }).toEqual({ act, ...plain })
      await vi.waitFor(() => expect(usedConnections(opened.knex)).toBe(0), PATIENT)
      expect({ act, names: await namesIn(opened.knex) }).toEqual({ act, names: (plain?.status ?? 500) < 400 ? [act] : [] })
      await opened.knex('names').del()
    }
  })
})

const tellers = new WeakMap<IncomingMessage, (seen: unknown) => void>()

function perform(res: ServerResponse, act: Act, decide: Act): void {
  const tell = tellers.get(res.req) as (seen: unknown) => void
  const { socket } = res.req
  const told: unknown[] = []
  socket.on('told', (error) => told.push((error as { code?: string }).code))
  res.once('close', () => tell({ result, told }))
  let result: unknown
  try {
    result = act(res)
    if (result === res || typeof result === 'boolean') result = undefined
  } catch (error) {
    const { name, code, message } = error as Error & { code?: string }
    result = { isTypeError: name === 'TypeError', code, message }
  }
  decide(res)
}

function answer(res: ServerResponse, status: number, body: string): void {
  if (res.writableEnded) return
  try {
    if (!res.headersSent) {
      res.statusCode = status
      res.statusMessage = 'Decided'
    }
    res.end(body)
  } catch {
    res.destroy()
  }
}

async function visit(listener: (req: IncomingMessage, res: ServerResponse) => void): Promise<Seen> {
  let resolve: (seen: unknown) => void = () => undefined
  const seen = new Promise<unknown>((done) => {
    resolve = done
  })
  await using served = await serve((req, res) => {
    tellers.set(req, resolve)
    listener(req, res)
  })
  const [response] = (await once(get(served.url), 'response').catch(() => [undefined])) as [IncomingMessage | undefined]
  // The response was destroyed.
  if (response === undefined) return { status: 500, body: '', headers: {}, trailers: {}, outcome: await seen }
  let body = ''
  for await (const chunk of response) body += chunk
  const { date, ...headers } = response.headers
  const { statusCode: status = 0, trailers } = response
  return { status, body, headers, trailers, outcome: await seen }
}
