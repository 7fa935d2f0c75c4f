import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { mergeSessions } from '../../lib/record/merge'

/** Few keys and few values, so that the three sides often meet; with the keys that are traps. */
const key = fc.constantFrom('a', 'b', 'c', 'cookie', '__proto__', 'constructor')
const value = fc.oneof(
  fc.constantFrom<unknown>(1, 2, null, 'x'),
  fc.array(fc.constantFrom(1, 2)),
  fc.record({ deep: fc.constantFrom(1, 2) }, { noNullPrototype: true })
)
const side = fc.array(fc.tuple(key, value), { maxLength: 5 }).map((entries): Record<string, unknown> => Object.fromEntries(entries))

const merge = (base: object, ours: object, theirs: object) => mergeSessions(base, ours, theirs).merged
const holds = (merged: object, expected: object) => {
  // By entries: a key named __proto__ is not seen by a comparison of properties.
  expect(new Map(Object.entries(merged))).toEqual(new Map(Object.entries(expected)))
}

describe('the three-way merge', () => {
  it('of what only they changed is theirs', () => {
    fc.assert(fc.property(side, side, (base, theirs) => holds(merge(base, base, theirs), theirs)))
  })

  it('of what only we changed is ours', () => {
    fc.assert(fc.property(side, side, (base, ours) => holds(merge(base, ours, base), ours)))
  })

  it('of the same change on both sides is that change, contested by nobody', () => {
    fc.assert(
      fc.property(side, side, (base, same) => {
        const { merged, contested } = mergeSessions(base, same, structuredClone(same))
        holds(merged, same)
        expect(contested).toEqual([])
      })
    )
  })

  it('gives each key the value of a side that changed it, and else the one it had', () => {
    fc.assert(
      fc.property(side, side, side, (base, ours, theirs) => {
        const { merged, contested } = mergeSessions(base, ours, theirs)
        const [before, mine, other, result] = [base, ours, theirs, merged].map((object) => new Map(Object.entries(object)))
        for (const name of new Set([...Object.keys(base), ...Object.keys(ours), ...Object.keys(theirs)])) {
          const [was, here, there, is] = [before, mine, other, result].map((map) => (map?.has(name) ? [map.get(name)] : []))
          const [changedHere, changedThere] = [!isDeepStrictEqual(was, here), !isDeepStrictEqual(was, there)]
          const both = changedHere && changedThere
          const deletedHere = changedHere && here?.length === 0
          const expected = changedHere && !(deletedHere && changedThere) ? here : there
          expect(is).toEqual(expected)
          expect(contested.includes(name)).toBe(both && !isDeepStrictEqual(here, there))
        }
      })
    )
  })

  it('is done when it is merged once more', () => {
    fc.assert(
      fc.property(side, side, side, (base, ours, theirs) => {
        const merged = merge(base, ours, theirs)
        holds(merge(theirs, merged, theirs), merged)
        holds(merge(base, merged, merged), merged)
      })
    )
  })

  it('changes none of its three sides', () => {
    fc.assert(
      fc.property(side, side, side, (base, ours, theirs) => {
        const before = structuredClone([base, ours, theirs])
        mergeSessions(base, ours, theirs)
        expect([base, ours, theirs]).toEqual(before)
      })
    )
  })

  it('keeps what one added and the other added beside it', () => {
    expect(merge({ user: 'ada' }, { user: 'ada', cart: 1 }, { user: 'ada', seen: 2 })).toEqual({ user: 'ada', cart: 1, seen: 2 })
  })

  it('leaves deleted what was deleted here, unless they changed it', () => {
    expect(merge({ a: 1, b: 1 }, {}, { a: 1, b: 2 })).toEqual({ b: 2 })
  })

  it('keeps what we changed though they deleted it', () => {
    expect(merge({ a: 1 }, { a: 2 }, {})).toEqual({ a: 2 })
  })

  it('takes arrays and objects whole', () => {
    const { merged, contested } = mergeSessions(
      { cart: [1], user: { a: 1 } },
      { cart: [1, 2], user: { a: 2 } },
      { cart: [1, 3], user: { a: 1, b: 1 } }
    )
    expect(merged).toEqual({ cart: [1, 2], user: { a: 2 } })
    expect(contested.toSorted()).toEqual(['cart', 'user'])
  })

  it('sets no prototype', () => {
    const hostile = JSON.parse('{"__proto__": {"admin": true}}') as object
    const merged = merge({}, { a: 1 }, hostile) as { admin?: boolean }
    expect(merged.admin).toBeUndefined()
    expect(Object.keys(merged).toSorted()).toEqual(['__proto__', 'a'])
  })
})
