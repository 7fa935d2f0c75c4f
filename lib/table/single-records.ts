import type { RecordToPut, RecordToTouch, RecordToUpdate, SessionRecord } from '../dialects/dialect'
import type { SessionRecords } from './session-records'
import type { SessionTable } from './session-table'

/** One statement a call, at once: inside a transaction, where the caller decides what runs when. */
export class SingleRecords implements SessionRecords {
  readonly waiting = 0

  constructor(private readonly table: SessionTable) {}

  async load(id: string): Promise<SessionRecord | null> {
    return only(await this.table.load([id]))
  }

  async insert(record: RecordToPut): Promise<void> {
    await this.table.insert([record])
  }

  async put(record: RecordToPut): Promise<number> {
    return only(await this.table.put([record]))
  }

  async putUnlessDead(record: RecordToPut): Promise<number | null> {
    return only(await this.table.putUnlessDead([record]))
  }

  async update(record: RecordToUpdate): Promise<boolean> {
    return only(await this.table.update([record]))
  }

  async updateWithExpiry(record: RecordToUpdate): Promise<boolean> {
    return only(await this.table.updateWithExpiry([record]))
  }

  async touch(record: RecordToTouch): Promise<boolean> {
    return only(await this.table.touch([record]))
  }

  async remove(id: string): Promise<void> {
    await this.table.remove([id])
  }
}

function only<T>(results: readonly T[]): T {
  return results[0] as T
}
