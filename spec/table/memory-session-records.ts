import type { RecordToPut, RecordToTouch, RecordToUpdate, RecordToUpdateWithLife, SessionRecord } from '../../lib/record/session-record'
import type { SessionRecords } from '../../lib/record/session-records'

/** The contract in a few lines of JavaScript: what the databases have to be like. */
export class MemorySessionRecords implements SessionRecords {
  readonly waiting = 0
  readonly #rows = new Map<string, SessionRecord>()

  constructor(private readonly now: () => number) {}

  async load(id: string): Promise<SessionRecord | null> {
    return this.#rows.get(id) ?? null
  }

  async insert(record: RecordToPut): Promise<void> {
    if (!this.#rows.has(record.id)) this.#write(record, 1, record.createdAt)
  }

  async put(record: RecordToPut): Promise<number> {
    const row = this.#rows.get(record.id)
    const createdAt = this.#live(record.id)?.createdAt ?? record.createdAt
    return this.#write(record, (row?.revision ?? 0) + 1, createdAt)
  }

  async putUnlessDead(record: RecordToPut): Promise<number | null> {
    const isDead = this.#rows.has(record.id) && this.#live(record.id) === undefined
    return isDead ? null : this.put(record)
  }

  async update(record: RecordToUpdate): Promise<boolean> {
    return this.updateWithLife({ ...record, isExpiryExact: false, createdAt: null })
  }

  async updateWithLife(record: RecordToUpdateWithLife): Promise<boolean> {
    const row = this.#live(record.id)
    if (row?.revision !== record.revision) return false
    const expiresAt = record.isExpiryExact ? record.expiresAt : Math.max(record.expiresAt, row.expiresAt)
    this.#write({ ...record, expiresAt }, row.revision + 1, record.createdAt ?? row.createdAt)
    return true
  }

  async touch({ id, expiresAt }: RecordToTouch): Promise<boolean> {
    const row = this.#live(id)
    if (row === undefined) return false
    this.#rows.set(id, { ...row, expiresAt: Math.max(row.expiresAt, expiresAt) })
    return true
  }

  async remove(id: string): Promise<void> {
    const row = this.#rows.get(id)
    if (row !== undefined && row.expiresAt !== 0)
      this.#rows.set(id, { ...row, data: '{}', expiresAt: 0, revision: row.revision + 1, ownerId: null })
  }

  #live(id: string): SessionRecord | undefined {
    const row = this.#rows.get(id)
    return row !== undefined && row.expiresAt > this.now() ? row : undefined
  }

  #write({ id, data, expiresAt, ownerId }: Omit<SessionRecord, 'revision' | 'createdAt'>, revision: number, createdAt: number): number {
    this.#rows.set(id, { id, data, expiresAt, revision, createdAt, ownerId })
    return revision
  }
}
