import assert from 'node:assert/strict'

/** Resolves after `ms`. For the few things of a foreign store that only time can show: an expiry, a second answer that must not come. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** The outcome of `work`, or a failed assertion that says `what` did not happen, so that a silent store is named and not the runner's time limit. */
export async function within<T>(limitMs: number, what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new assert.AssertionError({ message: `${what} within ${limitMs} ms` })), limitMs)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Asks again and again until `check` holds, so that a spec takes as long as the store needs and no longer. */
export async function until(limitMs: number, what: string, check: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + limitMs
  while (!(await check())) {
    if (Date.now() > deadline) assert.fail(`${what} within ${limitMs} ms`)
    await pause(20)
  }
}
