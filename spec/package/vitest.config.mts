import { resolve } from 'node:path'
import { defineConfig } from 'vitest/config'

// The checks of the packed package: npm run check:package, and npm run check:matrix for each version that the README claims. They install
// projects from the registry, so npm test leaves them out.
const isMatrix = process.env.CHECK === 'matrix'

export default defineConfig({
  root: resolve(import.meta.dirname, '../..'),
  test: {
    include: [isMatrix ? 'spec/package/**/*.matrix.ts' : 'spec/package/**/*.check.ts'],
    globalSetup: ['spec/support/databases.setup.ts', isMatrix ? 'spec/package/tarball.setup.ts' : 'spec/package/projects.setup.ts'],
    setupFiles: ['spec/support/leak-check.ts'],
    testTimeout: 180_000,
    hookTimeout: 600_000
  }
})
