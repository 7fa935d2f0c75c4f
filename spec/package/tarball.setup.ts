import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { pack } from './projects'

declare module 'vitest' {
  export interface ProvidedContext {
    tarball: string
  }
}

/** Packs the package as it would be published. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'knex-session-store-tarball-'))
  project.provide('tarball', await pack(folder))
  return () => rm(folder, { recursive: true, force: true })
}
