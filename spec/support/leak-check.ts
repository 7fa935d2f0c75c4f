import { afterAll, afterEach, beforeEach } from 'vitest'
import { beginSpec, checksLeaksPerFile, failOnLeaks, leaksOfFile, leaksOfSpec } from './leaks'

// A set-up file's hooks are the outermost: these run before a file's own beforeEach, and after its own afterEach and afterAll.

beforeEach(beginSpec)

afterEach(async () => {
  if (!checksLeaksPerFile()) failOnLeaks('spec', await leaksOfSpec())
})

afterAll(async () => {
  failOnLeaks('spec file', await leaksOfFile())
})
