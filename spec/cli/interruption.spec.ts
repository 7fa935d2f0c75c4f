import { expect, it } from 'vitest'
import { Interruption } from '../../lib/cli/interruption'

function open() {
  const clock = { now: 0 }
  const exits: number[] = []
  const said: string[] = []
  const stops = new Set<() => void>()
  const system: ConstructorParameters<typeof Interruption>[0] = {
    stderr: { write: (text: string) => said.push(text) },
    onStop: (stop) => {
      stops.add(stop)
      return () => stops.delete(stop)
    },
    exit: (code) => exits.push(code)
  }
  const interruption = new Interruption(system, () => clock.now)
  const press = () => {
    for (const stop of stops) stop()
  }
  return { interruption, press, exits, said, stops, clock }
}

it('the first Ctrl-C lets the batch end, and the second one ends the process', () => {
  const { interruption, press, exits, said, clock } = open()
  const signal = interruption.signal()
  press()
  expect([signal.aborted, exits]).toEqual([true, []])
  expect(said.join('')).toContain('Ctrl-C again ends at once')
  // As npx sends it on.
  clock.now = 100
  press()
  expect(exits).toEqual([])
  clock.now = 1000
  press()
  expect(exits).toEqual([130])
})

it('Ctrl-C ends what goes in no batches at once, and nothing after the end', () => {
  const { interruption, press, exits, stops } = open()
  press()
  expect(exits).toEqual([130])
  interruption.end()
  expect(stops.size).toBe(0)
})
