// One store in a process of its own, so that no store pays for another's garbage, timers or megamorphic code.
import { answer } from './child.mjs'
import { makeBench, measure, preload, warmUp, warmUpOnce } from './measure.mjs'
import { payloads, sessionId } from './session.mjs'
import { findStore } from './stores/index.mjs'

let opened
let bench

answer({
  async open({ store, context, payload, rows }) {
    const bytes = payloads[payload]
    opened = await findStore(store).open(context)
    const ids = Array.from({ length: rows }, (_, index) => sessionId(index))
    if (rows > 100_000) await opened.fill(rows, bytes)
    else await preload(opened.store, ids, bytes)
    bench = makeBench(opened.store, ids, bytes)
  },
  warmUpOnce: (cell) => warmUpOnce(bench, cell),
  warmUp: (cell) => warmUp(bench, cell),
  measure: (cell) => measure(bench, cell),
  async close() {
    await opened?.close()
  }
})
