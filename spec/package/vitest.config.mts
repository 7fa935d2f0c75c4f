import { resolve } from 'node:path'
import { defineConfig } from 'vitest/config'

// The checks of the packed package: npm run check:package. They install projects from the registry, so npm test leaves them out.
export default defineConfig({
  root: resolve(import.meta.dirname, '../..'),
  test: {
    include: ['spec/package/**/*.check.ts'],
    globalSetup: ['spec/support/databases.setup.ts', 'spec/package/projects.setup.ts'],
    setupFiles: ['spec/support/leak-check.ts'],
    testTimeout: 180_000,
    hookTimeout: 600_000
  }
})
