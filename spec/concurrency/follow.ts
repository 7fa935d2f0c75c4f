import { expect } from 'vitest'
import type { SessionModel } from './session-model'
import type { Outcome, Step } from './steps.mts'

/** Processes that do steps on one database. */
export interface Processes {
  readonly processes: number
  /** Empties the table and gives every session a new id. */
  begin(): Promise<void>
  perform(step: Step, now: number): Promise<Outcome>
  /** When the sessions end that are alive, in order. */
  expiries(now: number): Promise<number[]>
}

/** Does the steps one after the other, and compares each outcome, and in the end each session in each process, with the model's. */
export async function follow(world: Processes, model: SessionModel, steps: readonly Step[]): Promise<void> {
  await world.begin()
  for (const step of steps) {
    if (!model.isPossible(step)) continue
    const expected = model.perform(step)
    expect(await world.perform(step, model.now), JSON.stringify(step)).toEqual(expected)
  }
  for (const session of [0, 1]) {
    for (let process = 0; process < world.processes; process++) {
      const load: Step = { does: 'load', process, request: 9, session, as: 'data' }
      expect(await world.perform(load, model.now)).toEqual({ loaded: model.view(session), events: [] })
    }
  }
  expect(await world.expiries(model.now)).toEqual(model.expiries())
}
