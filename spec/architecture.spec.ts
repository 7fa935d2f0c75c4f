import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  importsLeadDown,
  noBareError,
  noDatabaseName,
  noFileWithoutSubject,
  noImportCycle,
  noLongFile,
  noProcessNorConsole,
  noTimer,
  type Rule,
  readLib
} from './support/architecture'

interface RuleSpec {
  readonly title: string
  readonly rule: Rule
  /** Files that break the rule for a reason. One that no longer does has to leave the list. */
  readonly except?: Readonly<Record<string, string>>
  /** Sources that the rule has to find fault with: a guard is seen to fail before it is trusted. */
  readonly faulty: Readonly<Record<string, Readonly<Record<string, string>>>>
  readonly sound: Readonly<Record<string, string>>
}

const RULES: readonly RuleSpec[] = [
  {
    title: 'no file imports itself through others',
    rule: noImportCycle,
    faulty: {
      'two files': { 'record/codec.ts': "import './expiry'", 'record/expiry.ts': "export * from './codec'" },
      'two files that import nothing but types': {
        'unit-of-work/unit.ts': "import type { Place } from './place'",
        'unit-of-work/place.ts': "import { type Unit } from './unit'"
      },
      'three files, one import of a type': {
        'store.ts': "import { a } from './assemble'",
        'assemble.ts': "import './table'",
        'table/index.ts': "let a: import('../store').Store"
      },
      'require and import()': { 'debug.ts': "require('./events')", 'events.ts': "import('./debug')" }
    },
    sound: { 'store.ts': "import './debug'; import './events'", 'events.ts': "import './debug'", 'debug.ts': "import 'node:util'" }
  },
  {
    title:
      'imports lead down: store, assemble, sessions or schema, batching, table, options, dialects, knex, and record and the like below all',
    rule: importsLeadDown,
    faulty: {
      'a leaf and its caller': { 'dialects/drivers.ts': "import type { A } from '../table/columns'", 'table/columns.ts': '' },
      'the ground floor and a room above': { 'record/codec.ts': "import '../dialects/drivers'", 'dialects/drivers.ts': '' },
      'two rooms on one floor': { 'sessions/health.ts': "import '../schema/registry'", 'schema/registry.ts': '' },
      'the core and a subpath': { 'store.ts': "import './testing'", 'testing/index.ts': '' },
      'the core and the index': { 'assemble.ts': "import '.'", 'index.ts': '' },
      'a new room': { 'cache/lru.ts': '' }
    },
    sound: {
      'index.ts': "export { Store } from './store'",
      'store.ts': "import './assemble'",
      'assemble.ts': "import './schema/registry'",
      'schema/registry.ts': "import '../dialects/drivers'; import './create'",
      'schema/create.ts': '',
      'dialects/drivers.ts': "import '../errors'",
      'errors.ts': "import './observe/debug'",
      'observe/debug.ts': '',
      'unit-of-work/index.ts': "import '..'"
    }
  },
  {
    title: 'a database is named in dialects/ alone',
    rule: noDatabaseName,
    except: {
      'moving/sources.ts': 'names other packages, whose names name a database',
      'testing/memory-database.ts': 'opens an SQLite database, and says so'
    },
    faulty: {
      'a string': { 'options.ts': "const client = 'postgresql'" },
      'an identifier': { 'schema/create.ts': 'function createOnMySQL() {}' },
      'a property': { 'store.ts': 'knex.pgNotify()' },
      'a template': { 'errors.ts': 'const message = `$' + '{name} on MariaDB`' },
      'an import': { 'assemble.ts': "import { D } from './dialects/sqlite/dialect'" },
      'a driver': { 'table/columns.ts': "if (driver === 'pg') {}" }
    },
    sound: {
      'store.ts': '/** Runs on PostgreSQL. */ function upgrade() {} // not on mysql',
      'dialects/sqlite/dialect.ts': "const name = 'sqlite'",
      'dialects/mysql/work.ts': "const name = 'mysql'"
    }
  },
  {
    title: 'timers are those of runtime/natives.ts',
    rule: noTimer,
    except: {
      'testing/contract/waiting.ts': 'the contract suite waits as a visitor does; it serves tests and runs in no application'
    },
    faulty: {
      setTimeout: { 'store.ts': 'setTimeout(f, 5)' },
      'setInterval of an alias': { 'store.ts': 'globalThis.setInterval(f, 5)' },
      'node:timers': { 'table/columns.ts': "import * as t from 'node:timers/promises'" },
      'AbortSignal.timeout': { 'dialects/drivers.ts': 'AbortSignal.timeout(5)' }
    },
    sound: {
      'runtime/natives.ts': 'setTimeout(f, 5)',
      'store.ts': 'query.timeout(5)'
    }
  },
  {
    title: 'every error has a class of its own',
    rule: noBareError,
    except: {
      'testing/contract/callback-specs.ts': 'throws in a callback what an application might throw there'
    },
    faulty: { thrown: { 'store.ts': "throw new Error('no')" }, rejected: { 'store.ts': "reject(new TypeError('no'))" } },
    sound: { 'errors.ts': 'class SessionStoreError extends Error {} throw new SessionStoreError()' }
  },
  {
    title: 'the process, its environment and its output belong to the application',
    rule: noProcessNorConsole,
    except: {
      'cli/index.ts': 'is a process of its own: what it needs of it, all other files of the command are given',
      'testing/session-store-contract.ts': 'prints what a runner without skips leaves out, for a test that is not there must be seen'
    },
    faulty: {
      exit: { 'store.ts': 'process.exit(1)' },
      environment: { 'debug.ts': "if (process['env'].DEBUG) {}" },
      'a named import': { 'debug.ts': "import { env as e } from 'node:process'" },
      output: { 'pruner.ts': "console.warn('slow')" }
    },
    sound: { 'calls/callbacks.ts': 'process.nextTick(f)' }
  },
  {
    title: 'no file is longer than 300 lines',
    rule: noLongFile,
    faulty: { '301 lines': { 'store.ts': 'x\n'.repeat(301) } },
    sound: { 'store.ts': 'x\n'.repeat(300) }
  },
  {
    title: 'every file is named after its subject',
    rule: noFileWithoutSubject,
    faulty: { utils: { 'utils.ts': '' }, types: { 'table/types.ts': '' }, helpers: { 'helpers/quote.ts': '' } },
    sound: { 'table/column-types.ts': '' }
  }
]

const lib = readLib(join(__dirname, '../lib'))
const sources = (files: Readonly<Record<string, string>>) => Object.entries(files).map(([path, text]) => ({ path, text }))

describe.each(RULES)('architecture: $title', ({ rule, except = {}, faulty, sound }) => {
  it('holds in lib/', () => {
    expect(lib.length).toBeGreaterThan(0)
    expect(rule(lib).filter((violation) => !Object.keys(except).some((path) => violation.startsWith(`${path}:`)))).toEqual([])
  })

  it.each(Object.entries(faulty))('would be broken by: %s', (_what, files) => {
    expect(rule(sources(files))).toHaveLength(1)
  })

  it('is not broken by what is allowed', () => {
    expect(rule(sources(sound))).toEqual([])
  })

  it('has no exception that is not needed', () => {
    const broken = rule(lib)
    expect(Object.keys(except).filter((path) => !broken.some((violation) => violation.startsWith(`${path}:`)))).toEqual([])
  })
})
