import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

const include = ['spec/**/*.spec.ts']

/** Races of many processes, the real command line, models, whole contracts: most of the time of a run. */
const long = [
  'spec/audit.spec.ts',
  'spec/story.spec.ts',
  'spec/cli/commands.spec.ts',
  'spec/concurrency/**/*.spec.ts',
  'spec/demo/*.spec.ts',
  'spec/dialects/every-setting.spec.ts',
  'spec/dialects/legal-settings.spec.ts',
  'spec/dialects/statements.spec.ts',
  'spec/migrations/**/*.spec.ts',
  'spec/races/**/*.spec.ts',
  'spec/schema/creation*.spec.ts',
  'spec/schema/registry.spec.ts',
  'spec/sessions/*.spec.ts',
  'spec/testing/contract*.spec.ts',
  'spec/unit-of-work/*.spec.ts'
]

/** What has a smaller sister among the others, or takes long for what it adds: in a full run alone. */
const full = [
  'spec/dialects/every-setting.spec.ts',
  'spec/migrations/latest-at-once.spec.ts',
  'spec/races/outages.spec.ts',
  'spec/testing/contract-finds-mistakes.spec.ts',
  'spec/testing/contract-with-options.spec.ts',
  'spec/unit-of-work/no-connection-is-left-behind.spec.ts',
  'spec/unit-of-work/the-schema-is-made-anew-under-a-live-app.spec.ts'
]

/** Everything in CI, where TEST_DATABASES is set, and with TEST_ALL=1; else what can be done in two minutes and a half. */
const everything = process.env.CI === 'true' || process.env.TEST_ALL === '1' || process.env.TEST_DATABASES !== undefined
if (!everything) {
  console.log(`A short run: the long specs are on PostgreSQL alone, with fewer rounds, and these are left out:
  ${full.join('\n  ')}
TEST_ALL=1 npm test runs everything on every database.\n`)
}

const specs = {
  setupFiles: ['spec/support/leak-check.ts'],
  // A spec that hangs fails by this. How long one may take is no promise, and on a busy machine some take a minute.
  testTimeout: 120_000,
  hookTimeout: 120_000
}

export default defineConfig({
  test: {
    globalSetup: ['spec/support/build.setup.ts', 'spec/support/databases.setup.ts'],
    // Most specs wait for a database or a moment, so more of them run at once than there are cores: on two it halves the time.
    maxWorkers: Math.max(4, availableParallelism() - 1),
    projects: [
      { test: { ...specs, name: 'specs', include, exclude: long } },
      {
        test: {
          ...specs,
          name: 'long',
          include: long,
          exclude: everything ? [] : full,
          env: everything ? {} : { SPEC_DATABASES: 'postgres', RACE_ROUNDS: '5', MODEL_RUNS: '10' }
        }
      }
    ]
  }
})
