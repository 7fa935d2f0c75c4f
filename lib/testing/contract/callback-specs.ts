import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { promisify } from 'node:util'
import type { SessionData } from 'express-session'
import { dataOf, sessionWith } from './sessions'
import { type ContractSpec, NotApplicable, type StoreUnderTest } from './store-under-test'
import { pause, until, within } from './waiting'

type Call = (callback: (...answer: unknown[]) => void) => void

/** Every call a store may get, on a session that is there and on one that is not. */
function callsOf({ store }: StoreUnderTest, present: string, absent: string): Record<string, Call> {
  const calls: Record<string, Call> = {
    'get of a session': (callback) => store.get(present, callback),
    'get of a missing session': (callback) => store.get(absent, callback),
    'set of a session': (callback) => store.set(present, sessionWith(), callback),
    'destroy of a missing session': (callback) => store.destroy(absent, callback)
  }
  if (store.touch) {
    calls['touch of a session'] = (callback) => store.touch?.(present, sessionWith(), callback)
    calls['touch of a missing session'] = (callback) => store.touch?.(absent, sessionWith(), callback)
  }
  if (store.all) calls.all = (callback) => store.all?.(callback)
  if (store.length) calls.length = (callback) => store.length?.(callback)
  calls['destroy of a session'] = (callback) => store.destroy(present, callback)
  if (store.clear) calls.clear = (callback) => store.clear?.(callback)
  return calls
}

/** Makes the call and collects its answers, also those that come after the first. */
async function answersTo(name: string, call: Call): Promise<{ answers: unknown[][]; early: number }> {
  const answers: unknown[][] = []
  let early = 0
  await within(
    4_000,
    `expected an answer to ${name}`,
    new Promise<void>((resolve) => {
      call((...answer) => {
        answers.push(answer)
        resolve()
      })
      early = answers.length
    })
  )
  await pause(20)
  return { answers, early }
}

async function forEveryCall(subject: StoreUnderTest, look: (name: string, answers: unknown[][], early: number) => void): Promise<void> {
  const present = subject.newId()
  await subject.set(present, sessionWith({ views: 1 }))
  for (const [name, call] of Object.entries(callsOf(subject, present, subject.newId()))) {
    const { answers, early } = await answersTo(name, call)
    look(name, answers, early)
  }
}

/** Collects what is thrown at the process while `work` runs, out of reach of the test runner, which would call it a failure. */
async function thrownAtProcessDuring(work: () => Promise<void>): Promise<{ exceptions: unknown[]; rejections: unknown[] }> {
  if (process.hasUncaughtExceptionCaptureCallback()) throw new NotApplicable('this test runner keeps uncaught exceptions to itself')
  const exceptions: unknown[] = []
  const rejections: unknown[] = []
  const listeners = process.listeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection')
  process.on('unhandledRejection', (error) => rejections.push(error))
  process.setUncaughtExceptionCaptureCallback((error) => exceptions.push(error))
  try {
    await work()
  } finally {
    process.setUncaughtExceptionCaptureCallback(null)
    process.removeAllListeners('unhandledRejection')
    for (const listener of listeners) process.on('unhandledRejection', listener)
  }
  return { exceptions, rejections }
}

/** How a store answers. */
export const callbackSpecs = {
  'every method answers exactly once': (subject) =>
    forEveryCall(subject, (name, answers) => assert.equal(answers.length, 1, `${name} answered ${answers.length} times`)),

  'no method answers before it has returned': (subject) =>
    forEveryCall(subject, (name, _answers, early) => assert.equal(early, 0, `${name} answered while it was being called`)),

  'a success comes without an error': (subject) =>
    forEveryCall(subject, (name, answers) => assert.equal(answers[0]?.[0] ?? null, null, `${name} answered with an error`)),

  'set works without a callback': async (subject) => {
    const sid = subject.newId()
    subject.store.set(sid, sessionWith())
    await until(4_000, 'expected the session to be stored', async () => Boolean(await subject.get(sid)))
  },

  'destroy works without a callback': async (subject) => {
    const sid = subject.newId()
    await subject.set(sid, sessionWith())
    subject.store.destroy(sid)
    await until(4_000, 'expected the session to be gone', async () => !(await subject.get(sid)))
  },

  'touch works without a callback': async (subject) => {
    subject.requires('touch')
    const sid = subject.newId()
    await subject.set(sid, sessionWith({ views: 1 }))
    subject.store.touch?.(sid, sessionWith({ views: 1 }))
    await pause(20)
    assert.deepEqual(dataOf(await subject.present(sid)), { views: 1 })
  },

  'methods can be promisified': async (subject) => {
    const { store } = subject
    const sid = subject.newId()
    const set: (sid: string, session: SessionData) => Promise<void> = promisify(store.set).bind(store)
    const get: (sid: string) => Promise<SessionData | null | undefined> = promisify(store.get).bind(store)
    await set(sid, sessionWith({ views: 1 }))
    const session = await get(sid)
    assert.ok(session, 'expected get to return the session')
    assert.deepEqual(dataOf(session), { views: 1 })
  },

  'what a callback throws is left to its caller, and the session stays': async (subject) => {
    const sid = subject.newId()
    await subject.set(sid, sessionWith({ views: 1 }))
    const mistake = new RangeError('a mistake in the callback')
    let calls = 0
    const throws = () => {
      calls++
      throw mistake
    }
    const { exceptions, rejections } = await thrownAtProcessDuring(async () => {
      subject.store.get(sid, throws)
      await until(4_000, 'expected get to answer', async () => calls >= 1)
      subject.store.set(sid, sessionWith({ views: 2 }), throws)
      await until(4_000, 'expected set to answer', async () => calls >= 2)
      await pause(20)
    })
    assert.equal(calls, 2, 'a callback that threw was called again')
    assert.deepEqual(rejections, [], 'what the callback threw became an unhandled rejection')
    assert.ok(exceptions.length === 2 && exceptions.every((error) => error === mistake), 'what the callback threw did not reach the caller')
    assert.deepEqual(dataOf(await subject.present(sid)), { views: 2 })
  },

  'a callback runs in the async context of its call': async (subject) => {
    const context = new AsyncLocalStorage<number>()
    const sid = subject.newId()
    await subject.set(sid, sessionWith())
    // At the same time, because it is the store that serves several calls together which mixes up their contexts.
    const seen = await Promise.all(
      [0, 1, 2, 3].map((number) =>
        context.run(number, () => {
          const answered = new Promise<number | undefined>((resolve) => subject.store.get(sid, () => resolve(context.getStore())))
          return within(4_000, 'expected get to answer', answered)
        })
      )
    )
    assert.deepEqual(seen, [0, 1, 2, 3])
  },

  'express-session can listen to the store': async ({ store }) => {
    const heard: string[] = []
    const listener = () => heard.push('connect')
    store.on('connect', listener)
    store.emit('connect')
    store.removeListener('connect', listener)
    assert.deepEqual(heard, ['connect'])
  }
} satisfies Record<string, ContractSpec>
