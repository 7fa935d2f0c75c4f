import type { Knex } from 'knex'
import { driverCode } from '../../lib/dialects/dialect'
import type { OpenDatabase } from '../support/databases'
import { isMariadb } from '../support/mysql-kind'
import { afterCreate } from './opened-statements'
import { tour } from './tour'

export interface Setting {
  readonly name: string
  readonly value: string
}

/** Settings of a connection, as statements. */
export interface TriedSettings {
  readonly title: string
  readonly statements: readonly string[]
  /** False where Knex itself cannot begin a transaction. */
  readonly mayTransact?: boolean
}

/** ER_UNKNOWN_SYSTEM_VARIABLE and the like: the server has no such setting, does not take the value, or does not take it for a session. */
const NOT_OF_THIS_SERVER =
  /^(ER_UNKNOWN_SYSTEM_VARIABLE|ER_WRONG_VALUE_FOR_VAR|ER_WRONG_ARGUMENTS|ER_VARIABLE_IS_READONLY|ER_UNKNOWN_STORAGE_ENGINE|ER_INCORRECT_GLOBAL_LOCAL_VAR|ER_CLIENT_DOES_NOT_SUPPORT|ER_UNSUPPORTED_SQL_MODE|ER_QUERY_CACHE_.*|ER_UNKNOWN_(CHARACTER_SET|COLLATION|LOCALE)|1925|42704|22023)$/

/** What the settings break, by their titles. What a server does not know is printed. */
export async function failuresOf(opened: OpenDatabase, settings: readonly TriedSettings[]): Promise<Record<string, unknown>> {
  const failures: Record<string, unknown> = {}
  const skipped: string[] = []
  const queue = [...settings.entries()]
  const work = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const [number, { title, statements, mayTransact = true }] = next
      await withSetting(opened, statements, async (knex) => {
        if (!(await isKnown(knex))) skipped.push(title)
        else await tour(knex, opened.knex, `settings_${number}`, { mayTransact })
      }).catch((error) => {
        failures[title] = error
      })
    }
  }
  await Promise.all([work(), work(), work()])
  if (skipped.length > 0) console.log(`skipped, for this server does not have them:\n  ${skipped.join('\n  ')}`)
  return failures
}

/** Runs `work` with a Knex of two connections, on each of which the statements were run. */
export async function withSetting(
  opened: OpenDatabase,
  statements: readonly string[],
  work: (knex: Knex) => Promise<unknown>
): Promise<void> {
  const quiet = () => undefined
  const knex = opened.connect({ pool: { ...afterCreate(...statements), max: 2 }, log: { warn: quiet, error: quiet } })
  try {
    await work(knex)
  } finally {
    await knex.destroy()
  }
}

async function isKnown(knex: Knex): Promise<boolean> {
  try {
    await knex.raw('SELECT 1')
    return true
  } catch (error) {
    const code = driverCode(error) ?? String((error as { errno?: unknown }).errno)
    if (NOT_OF_THIS_SERVER.test(code)) return false
    throw error
  }
}

/** Every value that every setting of a connection to this MariaDB or MySQL may have; of numbers the least and the greatest. */
export async function everySetting(knex: Knex): Promise<Setting[]> {
  return (await isMariadb(knex)) ? everySettingOfMariadb(knex) : everySettingOfMysql(knex)
}

async function everySettingOfMariadb(knex: Knex): Promise<Setting[]> {
  const settings: Setting[] = []
  const [rows] = await knex.raw(`
    SELECT lower(variable_name) AS name, variable_type AS type, enum_value_list AS list, numeric_min_value AS least, numeric_max_value AS most
      FROM information_schema.system_variables
     WHERE variable_scope LIKE 'SESSION%' AND read_only = 'NO' ORDER BY 1`)
  for (const { name, type, list, least, most } of rows) {
    const listed: string[] = list?.split(',') ?? []
    if (type === 'FLAGSET') {
      const flags = listed.filter((flag) => flag !== 'default')
      settings.push(...flags.flatMap((flag) => ['on', 'off'].map((state) => ({ name, value: `${flag}=${state}` }))))
    } else if (listed.length > 0) settings.push(...listed.map((value) => ({ name, value })))
    else if (least !== null) settings.push({ name, value: String(least) }, { name, value: String(most) })
  }
  return settings
}

/** It does not list the values of an enumeration, but takes their numbers. Of a set it takes each member by its bit, or by its flag. */
async function everySettingOfMysql(knex: Knex): Promise<Setting[]> {
  const settings: Setting[] = []
  const [rows] = await knex.raw(`
    SELECT variable_name AS name, data_type AS type, min_value AS least, max_value AS most
      FROM performance_schema.variables_metadata WHERE variable_scope LIKE 'SESSION%' ORDER BY 1`)
  for (const { name, type, least, most } of rows) {
    const [[{ now }]] = await knex.raw('SELECT @@SESSION.?? AS now', [name])
    const flags = type === 'Set' ? String(now).match(/\w+(?==)/g) : null
    if (flags !== null) settings.push(...flags.flatMap((flag) => ['on', 'off'].map((state) => ({ name, value: `${flag}=${state}` }))))
    else for (const value of valuesOnMysql(type, least, most)) settings.push({ name, value })
  }
  return settings
}

function valuesOnMysql(type: string, least: string, most: string): string[] {
  if (type === 'Boolean') return ['0', '1']
  if (type === 'Enumeration') return Array.from({ length: 10 }, (_, number) => String(number))
  if (type === 'Set') return ['0', ...Array.from({ length: 33 }, (_, bit) => String(2 ** bit))]
  return type === 'String' ? [] : [least, most]
}
