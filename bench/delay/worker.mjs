// One of the Node processes, with a store and a pool of its own.
import { answer } from '../child.mjs'
import { makeBench, makeCaller, operations, warmUpOnce } from '../measure.mjs'
import { OpenLoop } from '../open-loop.mjs'
import { seededRandom, sessionId } from '../session.mjs'
import { findStore } from '../stores/index.mjs'

let opened
let bench
const ten = [...Array(8).fill('get'), 'touch', 'get+set']
const choose = (op, random) => (op === 'mix' ? ten[Math.floor(random() * ten.length)] : op)
/** Those without a call under way: each has a session that is written by one call at a time. */
const callers = []
let made = 0

answer({
  async open({ store, context }) {
    opened = await findStore(store).open(context)
    // The next process drops the table: not while this one still makes it.
    await opened.store.ready?.()
  },
  fill: ({ rows, bytes }) => opened.fill(rows, bytes),
  prepare({ rows, bytes, seed }) {
    const random = seededRandom(seed)
    bench = makeBench(opened.store, { length: rows, at: sessionId }, bytes, {
      mix: (all, caller) => operations[choose('mix', random)](all, caller)
    })
    bench.pick = () => sessionId(Math.floor(random() * rows))
  },
  /** A closed loop, until the engine has compiled the calls. */
  warmUp: ({ op }) => warmUpOnce(bench, { op, callers: 16, seconds: 3 }),
  async measure({ op, rate, seconds, seed }) {
    const random = seededRandom(seed)
    const work = () => call(choose(op, random))
    const pause = () => new Promise((resolve) => setTimeout(resolve, seconds * 1000))
    const { errors, ...measured } = await new OpenLoop(work, { rate, seed }).during(pause)
    return { ...measured, errors: errors.length, error: errors[0]?.message }
  }
})

async function call(op) {
  if (op === 'nothing') return
  const caller = op === 'touch' ? (callers.pop() ?? makeCaller(bench.bytes, made++)) : undefined
  await operations[op](bench, caller)
  if (caller) callers.push(caller)
}
