import { describe, expect, it } from 'vitest'
import { WriteOrder } from '../../lib/batching/write-order'

const settle = () => new Promise((resolve) => setImmediate(resolve))

/** Works that note when they run, and go on until they are ended. */
function works() {
  const log: string[] = []
  const ends = new Map<string, (error?: Error) => void>()
  return {
    log,
    work: (name: string) => async () => {
      log.push(name)
      await new Promise<void>((resolve, reject) => ends.set(name, (error) => (error ? reject(error) : resolve())))
      return name
    },
    async end(name: string, error?: Error) {
      ends.get(name)?.(error)
      await settle()
    }
  }
}

describe('the order of one session', () => {
  it('runs a write that is alone at once', () => {
    const { log, work } = works()
    new WriteOrder().write('id', work('write'))
    expect(log).toEqual(['write'])
  })

  it('runs its writes one after the other', async () => {
    const order = new WriteOrder()
    const { log, work, end } = works()
    const all = [order.write('id', work('1')), order.write('id', work('2')), order.write('id', work('3'))]
    await settle()
    expect(log).toEqual(['1'])
    await end('1')
    expect(log).toEqual(['1', '2'])
    await end('2')
    await end('3')
    expect(await Promise.all(all)).toEqual(['1', '2', '3'])
  })

  it('lets a read wait for the writes asked for before it', async () => {
    const order = new WriteOrder()
    const { log, work, end } = works()
    const all = [order.write('id', work('write 1')), order.write('id', work('write 2')), order.read('id', work('read'))]
    await end('write 1')
    expect(log).toEqual(['write 1', 'write 2'])
    await end('write 2')
    expect(log).toEqual(['write 1', 'write 2', 'read'])
    await end('read')
    await Promise.all(all)
  })

  it('lets nobody wait for a read', async () => {
    const order = new WriteOrder()
    const { log, work, end } = works()
    const all = [order.read('id', work('read 1')), order.read('id', work('read 2')), order.write('id', work('write'))]
    expect(log).toEqual(['read 1', 'read 2', 'write'])
    for (const name of log) await end(name)
    await Promise.all(all)
  })

  it('goes on after a write that fails', async () => {
    const order = new WriteOrder()
    const { work, end } = works()
    const failing = order.write('id', work('1'))
    const [next, read] = [order.write('id', work('2')), order.read('id', work('3'))]
    failing.catch(() => undefined)
    await end('1', new TypeError('on purpose'))
    await end('2')
    await end('3')
    await expect(failing).rejects.toThrow('on purpose')
    expect(await Promise.all([next, read])).toEqual(['2', '3'])
  })

  it('is none of another session', () => {
    const order = new WriteOrder()
    const { log, work } = works()
    order.write('one', work('one'))
    order.write('other', work('other'))
    order.read('third', work('third'))
    expect(log).toEqual(['one', 'other', 'third'])
  })

  it('is forgotten when all is done', async () => {
    const order = new WriteOrder()
    await Promise.allSettled([
      order.write('a', async () => 1),
      order.write('a', () => Promise.reject(new TypeError('on purpose'))),
      order.write('b', async () => 2),
      order.read('c', async () => 3)
    ])
    await settle()
    expect(Reflect.get(order, 'last')).toEqual(new Map())
  })
})
