import { expect, it, onTestFinished, vi } from 'vitest'
import { afterAnswers, afterThisTurn } from '../../lib/runtime/event-loop'

const tick = () => new Promise<void>((resolve) => process.nextTick(resolve))

it('what comes after the answers comes when those who were answered have asked again, and before the turn is over', async () => {
  const order: string[] = []
  afterThisTurn(() => order.push('end of the turn'))
  afterAnswers(() => order.push('after the answers'))
  const ask = async (waits: number) => {
    for (let wait = 0; wait < waits; wait++) {
      await tick()
      await Promise.resolve().then(() => undefined)
    }
    order.push(`asked after ${waits}`)
  }
  await Promise.all([0, 1, 3].map(ask))
  await new Promise((resolve) => setImmediate(resolve))
  expect(order).toEqual(['asked after 0', 'asked after 1', 'asked after 3', 'after the answers', 'end of the turn'])
})

it('what comes after the answers waits once for all, and again for who comes later', async () => {
  const order: number[] = []
  afterAnswers(() => {
    order.push(1)
    afterAnswers(() => order.push(3))
  })
  await tick()
  afterAnswers(() => order.push(2))
  await new Promise((resolve) => setImmediate(resolve))
  expect(order).toEqual([1, 2, 3])
})

it("one that throws does not keep the others from it, and its error is nobody else's", async () => {
  const thrown: unknown[] = []
  const listeners = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.once('uncaughtException', (error) => thrown.push(error))
  onTestFinished(() => {
    process.removeAllListeners('uncaughtException')
    for (const listener of listeners) process.on('uncaughtException', listener)
  })
  const error = new TypeError('of the first')
  const second = vi.fn()
  afterAnswers(() => {
    throw error
  })
  afterAnswers(second)
  await new Promise((resolve) => setImmediate(resolve))
  expect(thrown).toEqual([error])
  expect(second).toHaveBeenCalledTimes(1)
})
