import { expect, it } from 'vitest'
import { PipelineTrial } from '../../lib/dialects/postgres/pipeline-trial'

/** A statement in use: how many rows a millisecond it writes in each way. */
function inUse({ onePipeline, twoConnections, rows = 32 }: { onePipeline: number; twoConnections: number; rows?: number }) {
  const trial = new PipelineTrial()
  const speeds = { onePipeline, twoConnections }
  let now = 0
  let written = 0
  /** Goes on until that many answers have come; tells how many of them came by the pipeline. */
  const answers = (count: number) => {
    let piped = 0
    for (let answer = 0; answer < count; answer++) {
      if (trial.isOpen) piped++
      now += rows / (trial.isOpen ? speeds.onePipeline : speeds.twoConnections)
      // Now and then something else keeps the server from its work.
      if (written++ % 40 === 39) now += 50
      trial.answered(rows, now)
    }
    return piped
  }
  const pause = (ms: number) => {
    now += ms
  }
  return { trial, answers, pause, speeds }
}

it('begins on two connections', () => {
  expect(new PipelineTrial().isOpen).toBe(false)
})

it('goes over to the pipeline where that writes more', () => {
  const { answers } = inUse({ onePipeline: 60, twoConnections: 45 })
  answers(2000)
  expect(answers(20_000)).toBeGreaterThan(0.9 * 20_000)
})

it('stays on two connections where they write more, or hardly less', () => {
  for (const onePipeline of [14, 45, 46]) {
    const { answers } = inUse({ onePipeline, twoConnections: 45 })
    answers(2000)
    expect(answers(20_000)).toBeLessThan(0.1 * 20_000)
  }
})

it('notices when another way becomes the faster one', () => {
  const { answers, speeds } = inUse({ onePipeline: 60, twoConnections: 45 })
  answers(5000)
  speeds.onePipeline = 20
  answers(5000)
  expect(answers(20_000)).toBeLessThan(0.1 * 20_000)
  speeds.onePipeline = 90
  answers(5000)
  expect(answers(20_000)).toBeGreaterThan(0.9 * 20_000)
})

it('leaves the pipeline as soon as few rows go together', () => {
  const busy = inUse({ onePipeline: 60, twoConnections: 45 })
  busy.answers(2000)
  expect(busy.trial.isOpen).toBe(true)
  for (let answer = 1, now = 1e6; answer <= 17; answer++) busy.trial.answered(2, now + answer)
  expect(busy.trial.isOpen).toBe(false)
  expect(inUse({ onePipeline: 60, twoConnections: 45, rows: 7 }).answers(5000)).toBe(0)
})

it('does not take a pause for slowness', () => {
  const { trial, answers, pause } = inUse({ onePipeline: 60, twoConnections: 61 })
  for (let sample = 0; sample < 100; sample++) {
    // In the middle of every sample.
    answers(72)
    pause(3_600_000)
    expect(answers(72)).toBe(0)
  }
  expect(trial.isOpen).toBe(false)
})
