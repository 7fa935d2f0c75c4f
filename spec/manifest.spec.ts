import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, it } from 'vitest'

const ROOT = resolve(__dirname, '..')
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))

it('the lock file has the version of the package', () => {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'))
  expect([lock.version, lock.packages[''].version]).toEqual([manifest.version, manifest.version])
})

it('a pre-release is published as next, and a release as latest', () => {
  expect(manifest.publishConfig.tag).toBe(manifest.version.includes('-') ? 'next' : undefined)
})

it('what is packed is there', () => {
  expect(manifest.files.filter((file: string) => !existsSync(join(ROOT, file)))).toEqual([])
})

it('the maps of the build have the sources in them, which are not packed', () => {
  const map = JSON.parse(readFileSync(join(ROOT, 'dist/store.js.map'), 'utf8'))
  expect(map.sources).toEqual(['../lib/store.ts'])
  expect(map.sourcesContent).toEqual([readFileSync(join(ROOT, 'lib/store.ts'), 'utf8')])
})
