import { statfsSync } from 'node:fs'

/** A row of 1 KB with its indexes after it was filled, rounded up. InnoDB's pages are less full, because ids come in no order. */
const bytesARow = { pg: 1600, mysql: 2400, sqlite: 1600 }
/** The log, and what writes add to it. */
const logBytes = { pg: 3e9, mysql: 3e9, sqlite: 2e9 }
/** Tables that a part has at the same time, and how much larger they become. */
const needs = {
  calls: ({ rows }) => rows,
  pruning: ({ prunedRows }) => prunedRows * 1.1,
  writes: ({ writtenRows }) => writtenRows * 1.5,
  plans: ({ rows }) => rows,
  causes: ({ rows }) => rows * 1.2,
  partitions: ({ rows }) => rows * 2.5
}
const largerLog = 8e9

/** Refuses a run for which the disk has no room: a full disk in the middle ends the server and the run. */
export function checkRoom(directory, kind, parts, plan) {
  const rows = Math.max(...parts.map((part) => needs[part](plan)))
  const more = parts.includes('writes') && plan.loads.includes('compression') ? largerLog : 0
  const needed = rows * bytesARow[kind] + logBytes[kind] + more
  const { bavail, bsize } = statfsSync(directory)
  const free = bavail * bsize
  const gb = (bytes) => `${(bytes / 1e9).toFixed(0)} GB`
  if (free < needed * 1.1) {
    throw new Error(
      `this run needs about ${gb(needed)} of disk in ${directory}, where ${gb(free)} are free: give fewer --rows, --pruned-rows or --written-rows, or another disk as TMPDIR`
    )
  }
  return `about ${gb(needed)} of disk needed, ${gb(free)} free`
}
