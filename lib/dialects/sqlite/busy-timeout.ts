import { getOrMake } from '../../runtime/get-or-make'
import { monotonicNow } from '../../runtime/natives'
import { type DirectConnection, type DirectStatement, prepared } from './direct-connection'

/** How many milliseconds a journal mode counts as known. Only the application itself can leave WAL mode while the file is open. */
const KNOWN_FOR_MS = 1000

/**
 * Keeps the driver from waiting for a lock that another connection holds. The driver would wait in this very thread for as long as the
 * application's busy timeout, and the process would stand still. Without a busy timeout the driver fails at once, and the caller waits.
 */
export class BusyTimeout {
  private readonly read: DirectStatement
  private readsWithoutLockUntil = Number.NEGATIVE_INFINITY

  private constructor(private readonly connection: DirectConnection) {
    this.read = connection.prepare('PRAGMA busy_timeout').safeIntegers(false).pluck(true)
  }

  static of(connection: DirectConnection): BusyTimeout {
    return getOrMake(ofConnection, connection, () => new BusyTimeout(connection))
  }

  /**
   * Does `work` without a busy timeout, and then sets the application's busy timeout again. It is read each time, because it may have
   * changed.
   */
  without<T>(work: () => T): T {
    const ms = this.read.get() as unknown as number
    if (ms === 0) return work()
    // This statement is not kept prepared: to fetch the row that it returns costs more than to prepare it each time.
    this.connection.exec('PRAGMA busy_timeout=0')
    try {
      return work()
    } finally {
      this.connection.exec(`PRAGMA busy_timeout=${ms}`)
    }
  }

  /**
   * The same until the promise of `work` has settled, on a connection that no other code uses. `work` gets the timeout, in milliseconds.
   */
  async withoutUntil<T>(work: (ms: number) => Promise<T>): Promise<T> {
    const ms = this.read.get() as unknown as number
    this.connection.exec('PRAGMA busy_timeout=0')
    try {
      return await work(ms)
    } finally {
      this.connection.exec(`PRAGMA busy_timeout=${ms}`)
    }
  }

  /** The same for work that only reads. In WAL mode no lock stops a read, so the busy timeout stays as it is. */
  withoutForReading<T>(work: () => T): T {
    const now = monotonicNow()
    if (now < this.readsWithoutLockUntil) return work()
    return this.without(() => {
      if (this.readsWithoutLock()) this.readsWithoutLockUntil = now + KNOWN_FOR_MS
      return work()
    })
  }

  /** An attached file has a journal mode of its own. A database without a file belongs to this connection alone. */
  private readsWithoutLock(): boolean {
    const databases = prepared(this.connection, 'PRAGMA database_list').all()
    return databases.every(([, name, file]) => file === '' || file === null || this.journalMode(String(name)) === 'wal')
  }

  private journalMode(name: string): unknown {
    return prepared(this.connection, `PRAGMA "${name.replaceAll('"', '""')}".journal_mode`).get()?.[0]
  }
}

const ofConnection = new WeakMap<DirectConnection, BusyTimeout>()
