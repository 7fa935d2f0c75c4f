import { MemoryStore, type SessionData } from 'express-session'
import { describe, expect, it } from 'vitest'
import { type ContractSpecName, sessionStoreContract } from '../../lib/testing/session-store-contract'

type Answer = (...answer: unknown[]) => void

interface Mistake {
  makes: (store: MemoryStore) => void
  found: ContractSpecName[]
}

/** Replaces a method; the correct one is the last argument of the new one. */
function replace(
  store: MemoryStore,
  method: 'all' | 'clear' | 'destroy' | 'get' | 'length' | 'set' | 'touch',
  wrong: (...args: never[]) => unknown
): void {
  const right = store[method].bind(store) as (...args: unknown[]) => unknown
  Object.assign(store, { [method]: (...args: unknown[]) => wrong(...([...args, right] as never[])) })
}

type Get = (sid: string, answer: (error?: unknown, session?: SessionData | null) => void) => void
type Set = (sid: string, session: SessionData, answer?: Answer) => void

function changesOnTheWayOut(change: (session: SessionData) => SessionData | null | undefined): Mistake['makes'] {
  return (store) =>
    replace(store, 'get', (sid: string, answer: Answer, right: Get) =>
      right(sid, (error, session) => answer(error, session ? change(session) : session))
    )
}

function changesOnTheWayIn(change: (session: SessionData) => object): Mistake['makes'] {
  return (store) =>
    replace(store, 'set', (sid: string, session: SessionData, ...rest: [Answer, Set] | [Set]) => {
      const right = rest.at(-1) as Set
      right(sid, change(session) as SessionData, rest.length > 1 ? (rest[0] as Answer) : undefined)
    })
}

function changesIds(change: (sid: string) => string): Mistake['makes'] {
  return (store) => {
    for (const method of ['get', 'set', 'destroy', 'touch'] as const) {
      replace(store, method, (sid: string, ...rest: unknown[]) => (rest.pop() as Answer)(change(sid), ...rest))
    }
  }
}

function parsed(change: (text: string) => string): (session: SessionData) => object {
  return (session) => JSON.parse(change(JSON.stringify(session))) as object
}

const mistakes: Record<string, Mistake> = {
  'answers twice': {
    makes: (store) =>
      replace(store, 'get', (sid: string, answer: Answer, right: Get) => right(sid, (...got) => [answer(...got), answer(...got)])),
    found: ['every method answers exactly once']
  },
  'never answers': {
    makes: (store) => replace(store, 'get', () => undefined),
    found: ['get returns what set stored']
  },
  'answers at once': {
    makes: (store) => replace(store, 'touch', (_sid: string, _session: SessionData, answer: Answer) => answer()),
    found: [
      'no method answers before it has returned',
      'touch extends the life',
      'over HTTP a visitor who only reads stays, one who went away is forgotten'
    ]
  },
  'gives an error for a missing session': {
    makes: (store) =>
      replace(store, 'get', (sid: string, answer: Answer, right: Get) =>
        right(sid, (error, session) => answer(session ? error : new Error('not found'), session))
      ),
    found: [
      'a session that was never stored is null or undefined, not an error',
      'load of a missing session is no error',
      'a success comes without an error'
    ]
  },
  'needs a callback for destroy': {
    makes: (store) =>
      replace(store, 'destroy', (sid: string, answer: Answer | undefined, right: (sid: string, answer: Answer) => void) => {
        if (typeof answer !== 'function' || right === undefined) throw new TypeError('callback is not a function')
        right(sid, answer)
      }),
    found: ['destroy works without a callback']
  },
  'catches what the callback throws and calls it again': {
    makes: (store) =>
      replace(store, 'get', (sid: string, answer: Answer, right: Get) =>
        right(sid, (...got) => {
          try {
            answer(...got)
          } catch (error) {
            answer(error)
          }
        })
      ),
    found: ['what a callback throws is left to its caller, and the session stays']
  },
  'calls back from a promise': {
    makes: (store) =>
      replace(store, 'get', (sid: string, answer: Answer, right: Get) => {
        new Promise<SessionData | null | undefined>((resolve) => right(sid, (_error, session) => resolve(session))).then((session) =>
          answer(null, session)
        )
      }),
    found: ['what a callback throws is left to its caller, and the session stays']
  },
  'serves several callers from one query': {
    makes: (store) => {
      let waiting: Answer[] = []
      replace(store, 'get', (sid: string, answer: Answer, right: Get) => {
        waiting.push(answer)
        if (waiting.length > 1) return
        right(sid, (...got) => {
          const served = waiting
          waiting = []
          for (const each of served) each(...got)
        })
      })
    },
    found: ['every get gives an object of its own', 'a callback runs in the async context of its call', 'two sessions do not mix']
  },
  'keeps the object it was given': {
    makes: (store) => {
      const sessions = new Map<string, SessionData>()
      replace(store, 'set', (sid: string, session: SessionData, answer: Answer) => {
        sessions.set(sid, session)
        setImmediate(answer)
      })
      replace(store, 'get', (sid: string, answer: Answer) => setImmediate(answer, null, sessions.get(sid)))
    },
    found: [
      'set stores the session as it is when set is called',
      'every get gives an object of its own',
      'an expired session is not returned'
    ]
  },
  'encodes the session later': {
    makes: (store) =>
      replace(store, 'set', (sid: string, session: SessionData, answer: Answer, right: Set) =>
        setImmediate(() => right(sid, session, answer))
      ),
    found: ['set stores the session as it is when set is called']
  },
  'lets an earlier write overtake a later one': {
    makes: (store) => {
      let delay = 30
      replace(store, 'set', (sid: string, session: SessionData, answer: Answer, right: Set) => {
        const text = JSON.stringify(session)
        setTimeout(() => right(sid, JSON.parse(text), answer), delay)
        delay = 40 - delay
      })
    },
    found: ['of two writes in a row the later one stays']
  },
  'merges instead of replacing': {
    makes: (store) =>
      replace(store, 'set', (sid: string, session: SessionData, answer: Answer, right: Set) =>
        store.get(sid, (_error, before) => right(sid, { ...before, ...session }, answer))
      ),
    found: ['set replaces the whole session']
  },
  'does not destroy': {
    makes: (store) => replace(store, 'destroy', (_sid: string, answer: Answer) => setImmediate(answer)),
    found: [
      'destroy removes the session and no other',
      'over HTTP login is remembered and logout forgotten',
      'over HTTP regenerate gives a new session id, and the old one opens nothing',
      'over HTTP unsetting req.session with unset: destroy removes the session',
      'over HTTP a cookie whose session is gone starts a new session',
      'touch does not bring back a destroyed session'
    ]
  },
  'calls the destroy of a missing session an error': {
    makes: (store) =>
      replace(store, 'destroy', (sid: string, answer: Answer, right: (sid: string, answer: Answer) => void) =>
        store.get(sid, (_error, session) => (session ? right(sid, answer) : answer(new Error('not found'))))
      ),
    found: ['destroy of a missing session is no error']
  },
  'does not let a session id be used again': {
    makes: (store) => {
      const destroyed: string[] = []
      replace(store, 'destroy', (sid: string, answer: Answer, right: (sid: string, answer: Answer) => void) => {
        destroyed.push(sid)
        right(sid, answer)
      })
      replace(store, 'set', (sid: string, session: SessionData, answer: Answer, right: Set) =>
        destroyed.includes(sid) ? setImmediate(answer) : right(sid, session, answer)
      )
    },
    found: ['a session id can be used again after destroy']
  },
  'compares session ids without case': {
    makes: changesIds((sid) => sid.toLowerCase()),
    found: ['session ids that differ in case, accents or trailing spaces are different']
  },
  'compares session ids without trailing spaces': {
    makes: changesIds((sid) => sid.trimEnd()),
    found: ['session ids that differ in case, accents or trailing spaces are different']
  },
  'leaves special characters out of session ids': {
    makes: changesIds((sid) => sid.replace(/[^\w-]/g, '')),
    found: ['a session id may hold quotes, wildcards, slashes and any other character']
  },
  'cuts long session ids off': {
    makes: changesIds((sid) => sid.slice(0, 128)),
    found: ['a session id may have two hundred characters']
  },
  'does not know expiry': {
    makes: (store) => {
      replace(store, 'get', (sid: string, answer: Answer) => {
        const text = Reflect.get(Reflect.get(store, 'sessions'), sid) as string | undefined
        setImmediate(answer, null, text && JSON.parse(text))
      })
    },
    found: [
      'an expired session is not returned',
      'a session is not returned once its life has passed',
      'set with an earlier expiry shortens the life'
    ]
  },
  'counts the life from the first set': {
    makes: (store) => {
      const first = new Map<string, SessionData['cookie']>()
      replace(store, 'set', (sid: string, session: SessionData, answer: Answer, right: Set) => {
        first.set(sid, first.get(sid) ?? session.cookie)
        right(sid, { ...session, cookie: first.get(sid) as SessionData['cookie'] }, answer)
      })
    },
    found: ['set with an earlier expiry shortens the life', 'set with a later expiry extends the life']
  },
  'writes the data on touch': {
    makes: (store) => replace(store, 'touch', (sid: string, session: SessionData, answer: Answer) => store.set(sid, session, answer)),
    found: [
      'touch does not change the data',
      'touch of a missing session is no error and makes none',
      'touch does not bring back an expired session',
      'touch does not bring back a destroyed session'
    ]
  },
  'needs an expiry on touch': {
    makes: (store) =>
      replace(store, 'touch', (sid: string, session: SessionData, answer: Answer, right: Set) =>
        session.cookie.expires ? right(sid, session, answer) : store.destroy(sid, answer)
      ),
    found: ['touch takes a session whose cookie has no expiry']
  },
  'gives every session an expiry': {
    makes: changesOnTheWayOut((session) => ({ ...session, cookie: { ...session.cookie, expires: session.cookie.expires || new Date() } })),
    found: ['a cookie without an expiry comes back without one', 'a cookie whose expires is false comes back without an expiry']
  },
  'keeps the expiry in seconds': {
    makes: changesOnTheWayIn((session) => ({
      ...session,
      cookie: {
        ...JSON.parse(JSON.stringify(session.cookie)),
        expires: new Date(Math.floor(Number(session.cookie.expires) / 1000) * 1000 + 1)
      }
    })),
    found: ['an expiry given as a Date comes back as the same moment', 'load makes a session of it, with the expiry as a Date']
  },
  'counts the expiry in 32 bits': {
    makes: changesOnTheWayIn((session) => ({
      ...session,
      cookie: {
        ...JSON.parse(JSON.stringify(session.cookie)),
        expires: new Date(Date.now() + ((new Date(session.cookie.expires ?? 0).getTime() - Date.now()) | 0))
      }
    })),
    found: ['an expiry further away than a timer can count comes back', 'an expiry in the year 9999 comes back']
  },
  'keeps of the cookie only the expiry': {
    makes: changesOnTheWayOut((session) => ({ ...session, cookie: { expires: session.cookie.expires } as SessionData['cookie'] })),
    found: [
      'originalMaxAge is kept',
      'the other attributes of the cookie are kept',
      'over HTTP the maxAge of the site is still known on the next request'
    ]
  },
  'strips NUL': {
    makes: changesOnTheWayIn(parsed((text) => text.replaceAll('\\u0000', ''))),
    found: ['NUL and other control characters come back']
  },
  'replaces lone surrogates': {
    makes: changesOnTheWayIn(parsed((text) => text.replace(/\\ud[89a-f]../g, '\ufffd'))),
    found: ['lone surrogates come back']
  },
  'knows three bytes of UTF-8': {
    makes: changesOnTheWayIn(parsed((text) => text.replace(/[\u{10000}-\u{10ffff}]/gu, '?'))),
    found: ['text of every script comes back']
  },
  'drops empty values': {
    makes: changesOnTheWayOut(
      (session) => Object.fromEntries(Object.entries(session).filter(([, value]) => value)) as unknown as SessionData
    ),
    found: ['null, false, zero and empty values come back']
  },
  'takes dots in keys for paths': {
    makes: changesOnTheWayIn((session) =>
      Object.fromEntries(Object.entries(session).map(([key, value]) => [key.replace('.', '\uff0e'), value]))
    ),
    found: ['keys with dots, dollars, digits and spaces come back']
  },
  'copies keys with a loop': {
    makes: changesOnTheWayOut((session) => {
      const copyOf = (value: unknown): unknown => {
        if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
        const copy: Record<string, unknown> = {}
        for (const key of Object.keys(value)) copy[key] = copyOf(Reflect.get(value, key))
        return copy
      }
      return copyOf(session) as SessionData
    }),
    found: ['a key named __proto__ changes no prototype']
  },
  'cuts large data off': {
    makes: (store) =>
      replace(store, 'set', (sid: string, session: SessionData, answer: Answer, right: Set) =>
        JSON.stringify(session).length > 65_535 ? answer(new Error('data too long')) : right(sid, session, answer)
      ),
    found: ['a megabyte comes back']
  },
  'returns the expired in all and counts them': {
    makes: (store) => {
      replace(store, 'all', (answer: Answer) =>
        setImmediate(
          answer,
          null,
          Object.values(Reflect.get(store, 'sessions')).map((text) => JSON.parse(text as string))
        )
      )
      replace(store, 'length', (answer: Answer) => setImmediate(answer, null, Object.keys(Reflect.get(store, 'sessions')).length))
    },
    found: ['all returns every live session and no expired one', 'length counts the live sessions and not the expired ones']
  },
  'does not clear': {
    makes: (store) => replace(store, 'clear', (answer: Answer) => setImmediate(answer)),
    found: ['clear removes every session']
  }
}

/** The bodies of the contract's specs, by title, of a store with the mistake. */
function specsOn(makes: Mistake['makes']): Map<string, () => Promise<void>> {
  const specs = new Map<string, () => Promise<void>>()
  const collect = (title: string, body: () => Promise<void>) => specs.set(title, body)
  const makeStore = () => {
    const store = new MemoryStore()
    makes(store)
    return store
  }
  sessionStoreContract(makeStore, { describe: (_title, body) => body(), it: Object.assign(collect, { skip: collect }) })
  return specs
}

describe('the contract notices a store that', () => {
  for (const [name, { makes, found }] of Object.entries(mistakes)) {
    it(name, async () => {
      const specs = specsOn(makes)
      const missed = await Promise.all(
        found.map(async (title) => {
          const spec = specs.get(title)
          return spec?.().then(
            () => title,
            () => undefined
          )
        })
      )
      expect(missed.filter((title) => title !== undefined)).toEqual([])
    })
  }
})
