import { describe, expect, it } from 'vitest'
import { Bounded, Deadlines } from '../../lib/calls/deadlines'
import { monotonicNow } from '../../lib/runtime/natives'

describe('deadlines', () => {
  it('of other lists end in the order in which they would have, if only one of them was late enough to notice the stop', async () => {
    const order: string[] = []
    let last = () => {}
    const ended = new Promise<void>((resolve) => {
      last = resolve
    })
    class Named extends Bounded {
      constructor(
        readonly name: string,
        readonly after: () => void
      ) {
        super()
      }
      override expire(): void {
        order.push(this.name)
        this.after()
      }
    }
    const [part, whole] = [new Deadlines(100), new Deadlines(145)]
    const start = monotonicNow()
    part.add(new Named('part', () => {}), start)
    whole.add(new Named('whole', last), start)
    await new Promise((resolve) => setImmediate(resolve))
    // The first is late by 55 ms and the second by 10, if the machine is not busy.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, start + 155 - monotonicNow())
    await ended
    expect(order).toEqual(['part', 'whole'])
  })
})
