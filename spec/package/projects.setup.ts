import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { developedWith, install, nodes, pack } from './projects'

declare module 'vitest' {
  export interface ProvidedContext {
    /** Folders of projects that have the packed package installed. */
    projects: Projects
  }
}

export interface Projects {
  /** Nothing but the package, and the peers that npm adds by itself. */
  readonly bare: string
  /** The versions of everything that the repository itself is developed with, and the newest of each Node line. */
  readonly newest: string
  /** The oldest versions of Node, knex, the drivers, express-session and TypeScript that the package is for. */
  readonly oldest: string
  /** Bundlers, and what an application that is bundled leaves out of the bundle. */
  readonly bundled: string
}

/** Packs the package as it would be published and installs it into new projects. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'knex-session-store-package-'))
  const removeFolder = () => rm(folder, { recursive: true, force: true })
  try {
    const tarball = await pack(folder)
    const [bare, newest, oldest, bundled] = await Promise.all([
      install(join(folder, 'bare'), tarball, {}),
      install(join(folder, 'newest'), tarball, {
        ...(await developedWith('better-sqlite3', 'express', 'express-session', 'knex', 'mysql2', 'pg')),
        ...(await developedWith('@types/express', '@types/express-session', '@types/node')),
        jest: '^30.0.0',
        'jest-environment-jsdom': '^30.0.0',
        'typescript-6': 'npm:typescript@^6.0.2',
        'typescript-7': 'npm:typescript@^7.0.2',
        ...nodes({ 20: '^20.19.0', 22: '^22.12.0', 24: '^24.0.0', 26: '^26.0.0' })
      }),
      install(join(folder, 'oldest'), tarball, {
        '@types/express': '4.17.17',
        '@types/express-session': '1.18.0',
        '@types/node': '^20.9.0',
        express: '4.17.0',
        'express-session': '1.17.0',
        knex: '2.4.0',
        mysql2: '2.0.0',
        pg: '8.2.0',
        'typescript-5.0': 'npm:typescript@5.0.4',
        ...nodes({ 20: '20.19.0', 22: '22.12.0' })
      }),
      install(join(folder, 'bundled'), tarball, {
        ...(await developedWith('better-sqlite3', 'express-session', 'knex')),
        '@rollup/plugin-commonjs': '^29.0.0',
        '@rollup/plugin-json': '^6.1.0',
        '@rollup/plugin-node-resolve': '^16.0.0',
        esbuild: '^0.28.0',
        rollup: '^4.0.0',
        webpack: '^5.100.0',
        ...nodes({ 24: '^24.0.0' })
      })
    ])
    project.provide('projects', { bare, newest, oldest, bundled })
    return removeFolder
  } catch (error) {
    await removeFolder()
    throw error
  }
}
