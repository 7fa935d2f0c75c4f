import fc from 'fast-check'
import type { Knex } from 'knex'
import { expect, it } from 'vitest'
import { dropSessionsTable, KnexSessionStore } from '../../lib'
import { describeDatabase, type OpenDatabase } from '../support/databases'
import { isMariadb } from '../support/mysql-kind'
import { handMade } from '../support/stores'
import { everySetting, failuresOf, withSetting } from './settings'
import { tour } from './tour'

const RUNS = Number(process.env.MODEL_RUNS ?? 25)

const stores = (knex: Knex) => new KnexSessionStore({ knex, pruneIntervalMs: false })
const sqlMode = (modes: readonly string[]) => `SET SESSION sql_mode = '${modes.join(',')}'`

/** MySQL gives no list of the names, but of the bits: see `everySetting`. One bit alone may stand for several modes. */
async function sqlModesOf({ knex }: OpenDatabase): Promise<string[]> {
  const values = (await everySetting(knex)).filter(({ name }) => name === 'sql_mode').map(({ value }) => value)
  if (await isMariadb(knex)) return values
  const modes = await knex.transaction(async (trx) => {
    const found: string[] = []
    for (const bit of values) {
      await trx.raw(`SET SESSION sql_mode = ${bit}`).catch(unlessOfAnotherVersion)
      const [[{ now }]] = await trx.raw('SELECT @@SESSION.sql_mode AS now')
      found.push(...now.split(','))
    }
    await trx.raw('SET SESSION sql_mode = DEFAULT')
    return found
  })
  return [...new Set(modes)].filter((mode) => mode !== '')
}

function unlessOfAnotherVersion(error: { readonly code?: unknown }): void {
  if (error.code !== 'ER_WRONG_VALUE_FOR_VAR' && error.code !== 'ER_UNSUPPORTED_SQL_MODE') throw error
}

/** What an application may well have set, each on all of its connections. */
const ON_MYSQL = [
  'autocommit = 0',
  'completion_type = 1',
  'completion_type = 2',
  'autocommit = 0, completion_type = 1',
  'sql_safe_updates = 1, sql_select_limit = 1, max_join_size = 100',
  'sql_select_limit = 0',
  'transaction_isolation = SERIALIZABLE',
  'transaction_isolation = "READ-UNCOMMITTED"',
  'tx_isolation = "SERIALIZABLE", autocommit = 0',
  'foreign_key_checks = 0, unique_checks = 0, check_constraint_checks = 0',
  'sql_auto_is_null = 1',
  'div_precision_increment = 0',
  'div_precision_increment = 30',
  'time_zone = "-11:00"',
  'max_statement_time = 30',
  'lock_wait_timeout = 1, innodb_lock_wait_timeout = 1',
  'innodb_strict_mode = 0, explicit_defaults_for_timestamp = 0',
  'default_storage_engine = MyISAM',
  'default_storage_engine = MEMORY, default_tmp_storage_engine = MyISAM',
  'sql_require_primary_key = 1, sql_generate_invisible_primary_key = 1',
  'sql_if_exists = 1',
  'character_set_results = NULL',
  'character_set_client = latin1, character_set_results = latin1, character_set_connection = latin1',
  'collation_connection = utf8mb4_bin',
  'collation_connection = ucs2_bin',
  'character_set_client = utf8mb3, character_set_results = utf8mb3, collation_connection = utf8mb3_turkish_ci',
  'group_concat_max_len = 4, sql_quote_show_create = 0',
  'lc_messages = de_DE',
  'query_alloc_block_size = 1024, max_sort_length = 8, sort_buffer_size = 1024',
  'sql_buffer_result = 1, big_tables = 1',
  'optimizer_switch = "index_merge=off,derived_merge=off"',
  'system_versioning_asof = "2020-01-01"',
  'session_track_system_variables = "*", session_track_transaction_info = CHARACTERISTICS'
]

describeDatabase('mysql', 'every statement runs', (kind) => {
  it('with settings that an application may have made', { timeout: 120_000 }, async () => {
    await using opened = await kind.open()
    const settings = ON_MYSQL.map((setting) => ({ title: setting, statements: [`SET SESSION ${setting}`] }))
    expect(await failuresOf(opened, settings)).toEqual({})
  })

  it('in each SQL mode', { timeout: 120_000 }, async () => {
    await using opened = await kind.open()
    const modes = await sqlModesOf(opened)
    expect(modes.length).toBeGreaterThan(15)
    const settings = modes.map((mode) => ({ title: mode, statements: [sqlMode([mode])], mayTransact: mode !== 'ORACLE' }))
    expect(await failuresOf(opened, settings)).toEqual({})
  })

  it('in any combination of SQL modes', { timeout: 240_000 }, async () => {
    await using opened = await kind.open()
    const modes = await sqlModesOf(opened)
    let runs = 0
    await fc.assert(
      fc.asyncProperty(fc.subarray(modes), async (chosen) => {
        await withSetting(opened, [sqlMode(chosen)], (knex) =>
          tour(knex, opened.knex, `combined_${++runs}`, { mayTransact: !chosen.includes('ORACLE') })
        )
      }),
      { numRuns: RUNS }
    )
  })

  it('with a bound on the rows of a statement, if need be one at a time', async () => {
    await using opened = await kind.open()
    await withSetting(opened, ['SET SESSION max_join_size = 1'], async (knex) => {
      const store = stores(knex)
      const ids = Array.from({ length: 20 }, (_, number) => `${number}`)
      await Promise.all(ids.map((id) => store.set(id, handMade({ id }))))
      expect(await Promise.all(ids.map((id) => store.get(id)))).toMatchObject(ids.map((id) => ({ id })))
      await store.close()
    })
  })

  it('or the error names what is in the way', async (context) => {
    await using opened = await kind.open()
    const readOnly = (knex: Knex) => stores(knex).set('a', handMade())
    await withSetting(opened, ['SET SESSION TRANSACTION READ ONLY'], (knex) =>
      expect(readOnly(knex)).rejects.toThrow(/read-only transaction/)
    )
    if (!(await isMariadb(opened.knex))) return context.skip('the server has no enforce_storage_engine')
    for (const mode of ['', 'NO_ENGINE_SUBSTITUTION']) {
      await withSetting(opened, ['SET SESSION enforce_storage_engine = MyISAM', sqlMode([mode])], async (knex) => {
        await expect(stores(knex).ready()).rejects.toThrow(/enforce_storage_engine.*allow InnoDB/)
        await expect(stores(opened.knex).ready()).resolves.toBeUndefined()
        await dropSessionsTable(opened.knex)
      })
    }
  })
})

const ON_POSTGRES = [
  "default_transaction_isolation = 'serializable'",
  "default_transaction_isolation = 'repeatable read', default_transaction_deferrable = on",
  'standard_conforming_strings = off, backslash_quote = on, escape_string_warning = on',
  'statement_timeout = 20000, lock_timeout = 10000, idle_session_timeout = 60000, idle_in_transaction_session_timeout = 60000',
  "timezone = 'Pacific/Chatham', datestyle = 'German', intervalstyle = 'sql_standard', extra_float_digits = -15",
  "bytea_output = 'escape', xmloption = 'document', array_nulls = off, transform_null_equals = on",
  "client_encoding = 'SQL_ASCII'",
  'enable_indexscan = off, enable_bitmapscan = off, enable_seqscan = off, enable_hashjoin = off, enable_nestloop = off, enable_mergejoin = off',
  'enable_sort = off, enable_material = off, enable_indexonlyscan = off, enable_memoize = off, enable_hashagg = off, enable_tidscan = off',
  "plan_cache_mode = 'force_generic_plan'",
  "plan_cache_mode = 'force_custom_plan', jit = on, jit_above_cost = 0, jit_optimize_above_cost = 0, jit_inline_above_cost = 0",
  ...['off', 'local', 'remote_write', 'on', 'remote_apply'].map((value) => `synchronous_commit = ${value}`),
  "default_tablespace = 'pg_default', default_table_access_method = 'heap', default_toast_compression = 'pglz'",
  "row_security = off, session_replication_role = 'replica', quote_all_identifiers = on, lc_messages = 'C'",
  'work_mem = 64, temp_buffers = 100, geqo_threshold = 2, from_collapse_limit = 1, join_collapse_limit = 1',
  "debug_parallel_query = 'on', parallel_setup_cost = 0, parallel_tuple_cost = 0, min_parallel_table_scan_size = 0",
  'check_function_bodies = off, default_statistics_target = 1, constraint_exclusion = on, recursive_worktable_factor = 0.001'
]

const asRole = (setting: string) => setting.split(/, (?=[a-z_]+ =)/).map((each) => `SET SESSION ${each}`)

describeDatabase('postgres', 'every statement runs', (kind) => {
  it('with settings that an application, or its role, may have', { timeout: 120_000 }, async () => {
    await using opened = await kind.open()
    expect(
      await failuresOf(
        opened,
        ON_POSTGRES.map((title) => ({ title, statements: asRole(title) }))
      )
    ).toEqual({})
  })

  it('or the error names what is in the way', async () => {
    await using opened = await kind.open()
    await withSetting(opened, ['SET default_transaction_read_only = on'], (knex) =>
      expect(stores(knex).set('a', handMade())).rejects.toThrow(/read-only transaction/)
    )
    await withSetting(opened, ["SET search_path = ''"], (knex) => expect(stores(knex).ready()).rejects.toThrow(/no schema to create it in/))
    for (const encoding of ['LATIN1', 'SJIS', 'WIN1252', 'EUC_JP']) {
      await withSetting(opened, [`SET client_encoding = '${encoding}'`], (knex) =>
        expect(stores(knex).set('a', handMade({ text: 'ä' }))).rejects.toThrow(/client_encoding of the connection must be UTF8/)
      )
    }
  })

  it('of a role that has them by itself', async () => {
    await using opened = await kind.open()
    const role = `${new URL(opened.url).pathname.slice(1)}_role`
    await opened.knex.raw(`CREATE ROLE ${role} LOGIN SUPERUSER PASSWORD 'x'`)
    try {
      for (const setting of ["client_encoding = 'LATIN1'", "search_path = 'its_own'", "default_transaction_isolation = 'serializable'"]) {
        await opened.knex.raw(`ALTER ROLE ${role} SET ${setting}`)
      }
      await opened.knex.raw('CREATE SCHEMA its_own')
      const url = new URL(opened.url)
      url.username = role
      url.password = 'x'
      const knex = opened.connect({ connection: url.href })
      await tour(knex, opened.connect({ searchPath: ['its_own'] }), 'sessions')
      await knex.destroy()
    } finally {
      await opened.knex.raw(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
    }
  })

  it('in a database of another encoding, but for characters that it lacks, which the error names', async () => {
    await using opened = await kind.open()
    const name = `${new URL(opened.url).pathname.slice(1)}_latin1`
    await opened.knex.raw(`CREATE DATABASE ${name} ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'`)
    const url = new URL(opened.url)
    url.pathname = `/${name}`
    const knex = opened.connect({ connection: url.href })
    try {
      const store = stores(knex)
      await store.set('a', handMade({ text: 'ä' }))
      expect(await store.get('a')).toMatchObject({ text: 'ä' })
      await expect(store.set('b', handMade({ text: '😀' }))).rejects.toThrow(
        /the session has a character that the encoding of the database lacks.*use a database with the encoding UTF8/
      )
      await store.close()
    } finally {
      await knex.destroy()
      await opened.knex.raw(`DROP DATABASE ${name}`)
    }
  })
})

interface SqliteConnection {
  pragma(sql: string): unknown
  defaultSafeIntegers(on: boolean): unknown
  unsafeMode(on: boolean): unknown
}

const flags = (...names: string[]) => names.flatMap((name) => [`${name} = 0`, `${name} = 1`])
const values = (name: string, ...of: (string | number)[]) => of.map((value) => `${name} = ${value}`)
const PRAGMAS = [
  ...flags('automatic_index', 'case_sensitive_like', 'cell_size_check', 'count_changes', 'defer_foreign_keys', 'empty_result_callbacks'),
  ...flags('foreign_keys', 'full_column_names', 'short_column_names', 'ignore_check_constraints', 'legacy_alter_table', 'read_uncommitted'),
  ...flags('recursive_triggers', 'reverse_unordered_selects', 'trusted_schema', 'writable_schema', 'fullfsync', 'checkpoint_fullfsync'),
  ...values('journal_mode', 'delete', 'truncate', 'persist', 'memory', 'wal', 'off'),
  ...values('auto_vacuum', 0, 1, 2),
  ...values('synchronous', 0, 1, 2, 3),
  ...values('temp_store', 0, 1, 2),
  ...values('secure_delete', 'fast', 'on', 'off'),
  ...values('encoding', "'UTF-16le'", "'UTF-16be'"),
  ...values('cache_size', 1, -1),
  ...values('page_size', 512, 65_536),
  ...values('mmap_size', 0, 268_435_456),
  ...values('wal_autocheckpoint', 0, 1),
  'locking_mode = exclusive',
  'busy_timeout = 0',
  'soft_heap_limit = 1',
  'cache_spill = 0'
]
const ON_SQLITE: Readonly<Record<string, (connection: SqliteConnection) => unknown>> = {
  ...Object.fromEntries(PRAGMAS.map((pragma) => [pragma, (connection: SqliteConnection) => connection.pragma(pragma)])),
  'safe integers': (connection) => connection.defaultSafeIntegers(true),
  'unsafe mode': (connection) => [connection.unsafeMode(true), connection.pragma('writable_schema = 1')]
}

describeDatabase('sqlite', 'every statement runs', (kind) => {
  const poolThat = (set: (connection: SqliteConnection) => unknown): Knex.PoolConfig => ({
    min: 0,
    max: 1,
    afterCreate(connection: SqliteConnection, done: (error: null, connection: unknown) => void) {
      set(connection)
      done(null, connection)
    }
  })

  it.each(['memory', 'file'] as const)(
    'with settings of a connection that an application may make (%s)',
    { timeout: 60_000 },
    async (storage) => {
      const failures: Record<string, unknown> = {}
      for (const [title, set] of Object.entries(ON_SQLITE)) {
        await using opened = await kind.open({ storage })
        const knex = opened.connect({ pool: poolThat(set) })
        const isAlone = storage === 'memory' || title === 'locking_mode = exclusive'
        if (storage === 'file') {
          // What it holds of the file would be in the way.
          await opened.knex.destroy()
          await opened.knex.initialize()
        }
        await tour(knex, isAlone ? undefined : opened.knex, 'sessions').catch((error) => {
          failures[title] = error
        })
        await knex.destroy()
      }
      expect(failures).toEqual({})
    }
  )

  it('or the error names what is in the way', async () => {
    await using opened = await kind.open()
    const knex = opened.connect({ pool: poolThat((connection) => connection.pragma('query_only = 1')) })
    await expect(stores(knex).set('a', handMade())).rejects.toThrow(/read-only/)
  })
})
