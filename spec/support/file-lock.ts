import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

const HOLDER = join(__dirname, 'lock-holder.mjs')

/** What another process does to hold a lock of an SQLite file. */
export const LOCKS = {
  /** The right to write; in WAL mode all can read meanwhile. */
  write: ['BEGIN IMMEDIATE'],
  /** Outside WAL mode nobody can read meanwhile. */
  exclusive: ['BEGIN EXCLUSIVE'],
  /** A transaction that reads. Outside WAL mode nobody can commit meanwhile. */
  read: ['BEGIN', 'SELECT count(*) FROM sqlite_master']
} as const

/** A lock that another process holds until it is released or disposed. */
export interface HeldLock extends AsyncDisposable {
  release(): Promise<void>
}

/** Starts a process that takes the lock; resolves when it holds it. */
export async function holdLock(file: string, kind: keyof typeof LOCKS): Promise<HeldLock> {
  const child = fork(HOLDER, [file, ...LOCKS[kind]], { execArgv: [] })
  const ended = once(child, 'exit')
  const first = await Promise.race([once(child, 'message'), ended])
  if (first[0] !== 'held') throw new Error(`the process that was to hold a lock ended with ${first[0]}`)
  let isHeld = true
  const release = async () => {
    if (!isHeld) return
    isHeld = false
    child.send('release')
    await ended
  }
  return { release, [Symbol.asyncDispose]: release }
}
