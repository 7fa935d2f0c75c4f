import { execFile } from 'node:child_process'
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Workplace } from './daemon.mts'

const BLOCK = 4096
const PIECES = [1024 * BLOCK, BLOCK]

/** A disk of a few megabytes in a server's workplace, which can be filled to its last block. */
export class SmallDisk implements AsyncDisposable {
  /** Its path below the folder of the workplace. */
  readonly name: string
  readonly folder: string
  #isFilling = false
  #filling: Promise<void> = Promise.resolve()

  private constructor(name: string, folder: string) {
    this.name = name
    this.folder = folder
  }

  static async mount(workplace: Workplace, name: string, megabytes: number): Promise<SmallDisk> {
    const folder = await workplace.makeFolder(name)
    try {
      await promisify(execFile)('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=0700`, 'session-chaos', folder])
    } catch (error) {
      const why = (error as { stderr?: string }).stderr?.trim() || String(error)
      throw new Error(`no small disk: it takes root, and a machine or container that lets root mount a tmpfs (${why})`)
    }
    await workplace.giveAway(folder)
    return new SmallDisk(name, folder)
  }

  /** Takes all room that is left, and what becomes free, until `free` is called. */
  async fill(): Promise<void> {
    const file = await open(this.#filler, 'w')
    this.#isFilling = true
    await fillUp(file)
    this.#filling = (async () => {
      while (this.#isFilling) {
        await fillUp(file)
        await sleep(20)
      }
      await file.close()
    })()
  }

  async free(): Promise<void> {
    this.#isFilling = false
    await this.#filling
    await rm(this.#filler, { force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.free()
    // Lazily: a server that is being killed may still have files there.
    await promisify(execFile)('umount', ['-l', this.folder])
  }

  get #filler(): string {
    return join(this.folder, 'filler')
  }
}

async function fillUp(file: Awaited<ReturnType<typeof open>>): Promise<void> {
  for (const size of PIECES) {
    const piece = Buffer.alloc(size)
    try {
      while (true) await file.write(piece)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    }
  }
}
