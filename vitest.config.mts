import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['spec/**/*.spec.ts'],
    globalSetup: ['spec/support/build.setup.ts', 'spec/support/databases.setup.ts'],
    setupFiles: ['spec/support/leak-check.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000
  }
})
