import { describe, expect, it } from 'vitest'
import { ProgressBar } from '../../lib/cli/progress-bar'

/** An output that keeps what it is given, and a clock that is moved by hand. */
function open(isTTY: boolean, columns = 80) {
  const written: string[] = []
  const clock = { now: 0 }
  const output = { isTTY, columns, write: (text: string) => written.push(text) }
  return { written, clock, bar: new ProgressBar(output, 'prune', () => clock.now) }
}

describe('the progress of long work', () => {
  it('is a bar in one line of a terminal, with rate and time left', () => {
    const { written, clock, bar } = open(true)
    bar.update(0, 5000)
    clock.now = 2000
    bar.update(1000, 5000)
    bar.end()
    expect(written).toEqual([
      '\r\u001b[Kprune [........................] 0 % 0 of 5,000',
      '\r\u001b[Kprune [####....................] 20 % 1,000 of 5,000, 500 a second, 8 s left',
      '\r\u001b[Kprune [####....................] 20 % 1,000 of 5,000, 500 a second, 8 s left',
      '\n'
    ])
  })

  it('is never wider than the terminal', () => {
    const { written, bar } = open(true, 30)
    bar.update(0, 5000)
    expect(written).toEqual(['\r\u001b[Kprune [......................'])
  })

  it('is whole on a terminal that does not tell its width', () => {
    const { written, bar } = open(true, 0)
    bar.update(0, 5)
    expect(written).toEqual(['\r\u001b[Kprune [........................] 0 % 0 of 5'])
  })

  it('is a line now and then in a pipe', () => {
    const { written, clock, bar } = open(false)
    bar.update(0, 10_000)
    for (let done = 1; done <= 50; done++) {
      clock.now = done * 100
      bar.update(done * 10, 10_000)
    }
    bar.end()
    expect(written).toEqual([
      'prune: 0 of 10,000\n',
      'prune: 200 of 10,000, 100 a second, 2 min left\n',
      'prune: 400 of 10,000, 100 a second, 2 min left\n',
      'prune: 500 of 10,000, 100 a second, 2 min left\n'
    ])
  })

  it('goes without a total', () => {
    const { written, clock, bar } = open(false)
    bar.update(0)
    clock.now = 1000
    bar.update(1234)
    bar.end()
    expect(written).toEqual(['prune: 0\n', 'prune: 1,234, 1,234 a second\n'])
  })

  it('is one line in a pipe where there is nothing to do', () => {
    const { written, bar } = open(false)
    bar.update(0, 0)
    bar.end()
    expect(written).toEqual(['prune: 0 of 0\n'])
  })

  it('is nothing where nothing began', () => {
    const { written, bar } = open(true)
    bar.end()
    expect(written).toEqual([])
  })
})
