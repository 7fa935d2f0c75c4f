import fc from 'fast-check'
import type { MaxAge, SessionForm, Step } from './steps.mts'

const MINUTE = 60_000

/** Few requests, keys and values, so that they meet. Session 1 is there to be confused with session 0. */
const request = fc.nat(3)
const session = fc.constantFrom(0, 0, 0, 0, 1)
const key = fc.constantFrom('a', 'a', 'b', 'c')
const value = fc.oneof(
  { weight: 6, arbitrary: fc.nat(2) },
  { weight: 1, arbitrary: fc.constantFrom<unknown>([1], [1, 2], { deep: 1 }, null) }
)
const user = fc.constantFrom('ada', 'ada', 'ben')
const maxAgeMs = fc.constantFrom<MaxAge>(null, 20 * MINUTE, 120 * MINUTE)
const form = fc.constantFrom<SessionForm>('request', 'request', 'data')
const ms = fc.constantFrom(1, 5 * MINUTE, 10 * MINUTE, 10 * MINUTE, 10 * MINUTE, 60 * MINUTE)

/** One or a few steps that belong together. */
function sceneOf(processes: number): fc.Arbitrary<Step[]> {
  const process = fc.nat(processes - 1)
  const scene = <Fields>(fields: { [Name in keyof Fields]: fc.Arbitrary<Fields[Name]> }, steps: (fields: Fields) => Step[]) =>
    fc.record(fields).map((values) => steps(values as Fields))
  const load = { process, request, session, as: form }
  return fc.oneof(
    { weight: 4, arbitrary: scene(load, (fields) => [{ does: 'load', ...fields }]) },
    { weight: 4, arbitrary: scene({ request, key, value }, (fields) => [{ does: 'change', ...fields }]) },
    { weight: 4, arbitrary: scene({ request }, (fields) => [{ does: 'save', ...fields }]) },
    {
      weight: 6,
      arbitrary: scene({ request, key, value }, (fields) => [
        { does: 'change', ...fields },
        { does: 'save', request: fields.request }
      ])
    },
    {
      weight: 3,
      arbitrary: scene({ request, key }, (fields) => [
        { does: 'delete', ...fields },
        { does: 'save', request: fields.request }
      ])
    },
    {
      weight: 3,
      arbitrary: scene({ ...load, key, value }, ({ key, value, ...fields }) => [
        { does: 'load', ...fields },
        { does: 'change', request: fields.request, key, value },
        { does: 'save', request: fields.request }
      ])
    },
    { weight: 1, arbitrary: scene({ request, key }, (fields) => [{ does: 'delete', ...fields }]) },
    { weight: 2, arbitrary: scene({ request, maxAgeMs }, (fields) => [{ does: 'set maxAge', ...fields }]) },
    { weight: 4, arbitrary: scene({ request }, (fields) => [{ does: 'touch', ...fields }]) },
    {
      weight: 4,
      arbitrary: scene({ request, ms }, ({ request, ms }) => [
        { does: 'pass', ms },
        { does: 'touch', request }
      ])
    },
    {
      // One request keeps the session alive beyond the expiry that another has loaded.
      weight: 2,
      arbitrary: scene({ request }, ({ request }) => [
        { does: 'pass', ms: 10 * MINUTE },
        { does: 'touch', request },
        { does: 'pass', ms: 10 * MINUTE }
      ])
    },
    { weight: 2, arbitrary: scene({ ms }, (fields) => [{ does: 'pass', ...fields }]) },
    { weight: 1, arbitrary: scene({ process, session }, (fields) => [{ does: 'destroy', ...fields }]) },
    { weight: 1, arbitrary: scene({ process, user }, (fields) => [{ does: 'log out', ...fields }]) },
    {
      weight: 3,
      arbitrary: scene({ request, user }, ({ request, user }) => [
        { does: 'change', request, key: 'user', value: user },
        { does: 'save', request }
      ])
    },
    {
      // A request that knows the password signs in after the owner has logged out everywhere.
      weight: 1,
      arbitrary: scene({ process, request, user }, ({ process, request, user }) => [
        { does: 'change', request, key: 'user', value: user },
        { does: 'log out', process, user },
        { does: 'save', request }
      ])
    },
    { weight: 1, arbitrary: scene({ process }, (fields) => [{ does: 'prune', ...fields }]) }
  )
}

/** Two sessions, and requests in each process that hold the first: so that every run has something to disagree about. */
export function beginningOf(processes: number): fc.Arbitrary<Step[]> {
  const forms = fc.array(form, { minLength: 3, maxLength: 3 })
  return fc
    .tuple(maxAgeMs, maxAgeMs, forms)
    .map(([first, second, forms]) => [
      { does: 'create', process: 0, request: 0, session: 0, maxAgeMs: first },
      { does: 'change', request: 0, key: 'a', value: 0 },
      { does: 'save', request: 0 },
      { does: 'create', process: 0, request: 4, session: 1, maxAgeMs: second },
      ...forms.map((as, index): Step => ({ does: 'load', process: (index + 1) % processes, request: index + 1, session: 0, as }))
    ])
}

/** A session that a store of plain ids has made, and nobody has moved yet. `maker` is the process of that store. */
export function plainBeginningOf(maker: number): fc.Arbitrary<Step[]> {
  return maxAgeMs.map((maxAgeMs) => [
    { does: 'create', process: maker, request: 7, session: 0, maxAgeMs },
    { does: 'change', request: 7, key: 'a', value: 0 },
    { does: 'save', request: 7 }
  ])
}

/** Requests that come at once for a session, and perhaps one that ends it. */
export function arrivalsOf(processes: number): fc.Arbitrary<Step[]> {
  const process = fc.nat(processes - 1)
  const arrival = fc.oneof(
    { weight: 3, arbitrary: fc.record({ does: fc.constant('load' as const), process, request, session: fc.constant(0), as: form }) },
    { weight: 1, arbitrary: process.map((process): Step => ({ does: 'destroy', process, session: 0 })) }
  )
  return fc.uniqueArray(arrival, { minLength: 2, maxLength: 4, selector: (step) => ('request' in step ? step.request : -1) })
}

/** Steps in the order in which they are done, one after the other. */
export function stepsOf(processes: number, scenes = 30): fc.Arbitrary<Step[]> {
  return fc.tuple(beginningOf(processes), fc.array(sceneOf(processes), { maxLength: scenes, size: 'max' })).map((parts) => parts.flat(2))
}

/** Steps that are done at once, by requests that do not have the same number: a request does one thing at a time. */
export function stepsAtOnceOf(processes: number): fc.Arbitrary<Step[]> {
  const process = fc.nat(processes - 1)
  const step = fc.oneof(
    { weight: 6, arbitrary: request.map((request): Step => ({ does: 'save', request })) },
    { weight: 2, arbitrary: request.map((request): Step => ({ does: 'touch', request })) },
    { weight: 1, arbitrary: process.map((process): Step => ({ does: 'destroy', process, session: 0 })) },
    { weight: 1, arbitrary: process.map((process): Step => ({ does: 'load', process, request: 8 + process, session: 0, as: 'data' })) }
  )
  return fc.uniqueArray(step, { minLength: 2, maxLength: 4, selector: (step) => ('request' in step ? step.request : -1) })
}

/** What the requests have done to their session objects, not yet saved. */
export function changesOf(): fc.Arbitrary<Step[]> {
  const change = fc.oneof(
    { weight: 6, arbitrary: fc.record({ does: fc.constant('change' as const), request, key, value }) },
    { weight: 2, arbitrary: fc.record({ does: fc.constant('delete' as const), request, key }) },
    { weight: 1, arbitrary: fc.record({ does: fc.constant('set maxAge' as const), request, maxAgeMs }) },
    { weight: 1, arbitrary: fc.record({ does: fc.constant('save' as const), request }) }
  )
  return fc.array(change, { maxLength: 8, size: 'max' })
}
