import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['spec/**/*.spec.ts'],
    globalSetup: ['spec/support/build.setup.ts', 'spec/support/databases.setup.ts'],
    setupFiles: ['spec/support/leak-check.ts'],
    // Most specs wait for a database or a moment, so more of them run at once than there are cores: on two it halves the time.
    maxWorkers: Math.max(4, availableParallelism() - 1),
    testTimeout: 30_000,
    hookTimeout: 60_000
  }
})
