import { existsSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { isKnex } from '../dialects/drivers'
import { describeValue, Hidden } from '../errors'
import { UsageError } from './command-errors'

/**
 * Returns the export of a module of the application: `module.exports` or the default export, or all exports if there is no default. If the
 * export is a function, calls it and returns its result. A Knex instance is a function too, but is returned as it is. Promises are awaited.
 */
export async function givenBy(file: string, option: string): Promise<unknown> {
  const exported = await loadModule(file, option)
  if (typeof exported !== 'function' || isKnex(exported)) return exported
  try {
    return await exported()
  } catch (error) {
    throw new UsageError(`the function that ${file} (${option}) exports failed: ${reasonOf(error, file)}`)
  }
}

async function loadModule(file: string, option: string): Promise<unknown> {
  if (!existsSync(file)) throw new UsageError(`there is no file ${file} (${option})`)
  try {
    let exported: unknown = await import(pathToFileURL(file).href)
    // A compiler that turns `export default` into CommonJS puts the default inside of module.exports, so there may be two levels.
    for (let depth = 0; depth < 2; depth++) exported = await defaultOf(exported)
    return exported
  } catch (error) {
    throw new UsageError(`${file} (${option}) could not be loaded: ${reasonOf(error, file)}`)
  }
}

function defaultOf(exported: unknown): unknown {
  return typeof exported === 'object' && exported !== null && 'default' in exported ? exported.default : exported
}

const IS_TYPESCRIPT = /\.[cm]?ts$/
const HOW_TO_RUN = 'Run the command by: node --import tsx node_modules/.bin/knex-session-store …'
/** Node's error codes for TypeScript that a compiler could run and Node.js by itself cannot, with explanations. */
const TYPESCRIPT_CODES: Readonly<Record<string, string>> = {
  ERR_UNKNOWN_FILE_EXTENSION: 'this Node.js does not run TypeScript by itself',
  ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX: 'Node.js by itself does not run all of TypeScript: no enum, no namespace, no import =',
  ERR_MODULE_NOT_FOUND: 'a module that it imports is not found; Node.js by itself needs the ending of an imported file'
}

function reasonOf(error: unknown, file: string): string {
  const { code, message, stack } = (error ?? {}) as { code?: unknown; message?: unknown; stack?: unknown }
  const explanation = typeof code === 'string' ? TYPESCRIPT_CODES[code] : undefined
  if (IS_TYPESCRIPT.test(file) && (explanation !== undefined || error instanceof SyntaxError)) {
    return `${explanation ?? 'Node.js by itself does not run its syntax'}. ${HOW_TO_RUN}`
  }
  // This error quotes the text that it could not parse, which may contain a password.
  if (error instanceof SyntaxError && String(message).includes('JSON')) return 'a text that it reads is not valid JSON'
  if (error instanceof SyntaxError && !/^The requested module|^Cannot use import/.test(String(message))) {
    const [, line] = /^[^\n]*:(\d+)\n/.exec(String(stack)) ?? []
    return `a syntax error${line === undefined ? '' : ` near line ${line}`}; node --check shows it`
  }
  return error instanceof Error ? (String(message).split('\n')[0] as string) : `it threw ${describeValue(new Hidden(error))}`
}
