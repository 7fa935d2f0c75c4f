import type { Knex } from 'knex'
import { isKnex } from '../dialects/drivers'
import { startAwaitedTimer } from '../runtime/natives'
import { nothing } from '../runtime/nothing'
import { SetupError } from './command-errors'
import type { Configuration } from './configuration'
import { findPackage, requireFile } from './find-package'

/** Knex would print errors with their bindings, which may hold session data. */
const SILENT: Knex.Logger = { warn: nothing, error: nothing, debug: nothing, deprecate: nothing }
/** The maximum time for closing the connections, in milliseconds. After that the process ends with connections open. */
const CLOSING_MS = 1000

/** Makes a Knex instance with the application's own versions of Knex and the driver. No I/O. */
export function makeKnex({ config, folders }: Configuration, timeoutMs: number): Knex {
  const file = findPackage('knex', [...folders, __dirname])
  if (file === undefined)
    throw new SetupError('knex is not installed here: run the command in the folder of the application, or npm install knex')
  const exported = requireFile(file) as { default?: unknown }
  const factory = (typeof exported === 'function' ? exported : exported.default) as (config: Knex.Config) => Knex
  try {
    const knex = factory({
      ...config,
      pool: { ...config.pool, min: 0 },
      acquireConnectionTimeout: Math.min(config.acquireConnectionTimeout ?? timeoutMs, timeoutMs),
      log: SILENT
    })
    if (isKnex(knex)) return knex
  } catch (error) {
    const { message } = error as Error
    throw new SetupError(`Knex could not be made of this configuration: ${String(message).split('\n')[0]}`)
  }
  throw new SetupError(`${file} is not Knex`)
}

/** Closes the connections. Gives up after a while, because a connection that is still being made may take long. */
export async function closeKnex(knex: Knex): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = startAwaitedTimer(resolve, CLOSING_MS)
    knex
      .destroy()
      .then(nothing, nothing)
      .then(() => {
        timer.stop()
        resolve()
      })
  })
}
