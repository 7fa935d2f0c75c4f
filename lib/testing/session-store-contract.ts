import type { Store } from 'express-session'
import { InvalidOptionError, UnknownOptionError } from '../errors'
import { callbackSpecs } from './contract/callback-specs'
import { cookieSpecs } from './contract/cookie-specs'
import { dataSpecs } from './contract/data-specs'
import { expirySpecs } from './contract/expiry-specs'
import { httpSpecs } from './contract/http-specs'
import { optionalMethodSpecs } from './contract/optional-method-specs'
import { readingAndWritingSpecs } from './contract/reading-and-writing-specs'
import { type ContractSpec, NotApplicable, StoreUnderTest } from './contract/store-under-test'

const groups = {
  answers: callbackSpecs,
  'reading and writing': readingAndWritingSpecs,
  'expiry and touch': expirySpecs,
  cookies: cookieSpecs,
  data: dataSpecs,
  'optional methods': optionalMethodSpecs,
  'with express-session over HTTP': httpSpecs
} satisfies Record<string, Record<string, ContractSpec>>

type NamesOf<Group> = Group extends unknown ? keyof Group : never

/** The title of one spec of {@link sessionStoreContract}. */
export type ContractSpecName = NamesOf<(typeof groups)[keyof typeof groups]>

/** The functions of a test runner that the contract uses. Vitest, Jest, node:test, Mocha and others have them. */
export interface ContractRunner {
  /** Declares a group of specs. */
  describe: (title: string, body: () => void) => unknown
  /** Declares one spec. */
  it: ContractIt
}

/** Declares one spec. */
export interface ContractIt {
  // biome-ignore lint/suspicious/noExplicitAny: each runner hands its specs another context
  (title: string, body: (...context: any[]) => Promise<void>): unknown
  /** Declares a spec that is shown and not run. */
  // biome-ignore lint/suspicious/noExplicitAny: as above
  skip: (title: string, body: (...context: any[]) => Promise<void>) => unknown
}

/** A store, or a store with a function that gives back what it needed. */
export type StoreForContract = Store | { store: Store; dispose?: () => unknown }

/** Settings of {@link sessionStoreContract}. */
export interface SessionStoreContractOptions extends Partial<ContractRunner> {
  /**
   * The title of the suite.
   * @default 'express-session store contract'
   */
  title?: string
  /**
   * Specs that the store does not fulfil by design: the title of each spec, and the reason. Each is shown as a skipped spec with its
   * reason. A title that the contract does not have is refused.
   * @default {}
   */
  skip?: Partial<Record<ContractSpecName, string>>
}

/**
 * Declares the conformance suite of an express-session store: everything that express-session, and applications on it, expect of a
 * store and that is written down nowhere. It asserts with node:assert and imports no test runner: `describe` and `it` are the
 * globals of that name (Jest, Mocha, Vitest with `globals: true`), or are given in the options.
 *
 * `makeStore` is called anew for each spec, and the store it gives must be empty. What must be given back afterwards goes into `dispose`;
 * without it, the store's own `[Symbol.asyncDispose]` is called if it has one. A store that lacks an optional method
 * (`touch`, `all`, `length`, `clear`) has the specs about it skipped; Jest cannot skip a spec that has begun, so there the reason is
 * printed instead. Some specs wait for a session to expire, which takes up to four seconds each with a store that counts in seconds.
 *
 * @throws {InvalidOptionError} where there is no `describe` or `it`, or where `skip` names no spec of the contract.
 * @example
 * ```ts
 * import { describe, it } from 'node:test'
 * import { MemoryStore } from 'express-session'
 * import { sessionStoreContract } from 'knex-session-store/testing'
 *
 * sessionStoreContract(() => new MemoryStore(), { describe, it })
 * ```
 */
export function sessionStoreContract(
  makeStore: () => StoreForContract | Promise<StoreForContract>,
  options: SessionStoreContractOptions = {}
): void {
  const { describe, it } = runnerOf(options)
  const { title = 'express-session store contract', skip = {} } = options
  refuseUnknownSpecs(skip)
  describe(title, () => {
    for (const [group, specs] of Object.entries<Record<string, ContractSpec>>(groups)) {
      describe(group, () => {
        for (const [name, spec] of Object.entries(specs)) {
          const reason = skip[name as ContractSpecName]
          if (reason === undefined) it(name, (...context) => run(name, spec, makeStore, context[0]))
          else it.skip(`${name} (skipped: ${reason})`, async () => {})
        }
      })
    }
  })
}

async function run(
  name: string,
  spec: ContractSpec,
  makeStore: () => StoreForContract | Promise<StoreForContract>,
  context: unknown
): Promise<void> {
  const made = await makeStore()
  const { store, dispose } = isStore(made) ? { store: made, dispose: undefined } : made
  let skipped: NotApplicable | undefined
  try {
    await spec(new StoreUnderTest(store))
  } catch (error) {
    if (!(error instanceof NotApplicable)) throw error
    skipped = error
  } finally {
    if (dispose) await dispose()
    else await (store as Partial<AsyncDisposable>)[Symbol.asyncDispose]?.()
  }
  if (skipped) skipAtRunTime(name, skipped.reason, context)
}

function skipAtRunTime(name: string, reason: string, context: unknown): void {
  const { skip } = (context ?? {}) as { skip?: (reason: string) => void }
  if (typeof skip === 'function') skip.call(context, reason)
  else console.info(`not run: ${name}: ${reason}`)
}

function runnerOf(options: SessionStoreContractOptions): ContractRunner {
  const describe = options.describe ?? (Reflect.get(globalThis, 'describe') as ContractRunner['describe'] | undefined)
  const it = options.it ?? (Reflect.get(globalThis, 'it') as ContractIt | undefined)
  const advice = `; there is no global of that name, so give the one of your test runner: sessionStoreContract(makeStore, { describe, it })`
  if (typeof describe !== 'function') throw new InvalidOptionError('describe', 'a function', describe, advice)
  if (typeof it !== 'function') throw new InvalidOptionError('it', 'a function', it, advice)
  return { describe, it }
}

function refuseUnknownSpecs(skip: object): void {
  const known = Object.values(groups).flatMap((specs) => Object.keys(specs))
  for (const name of Object.keys(skip)) {
    if (!known.includes(name)) throw new UnknownOptionError(name, ` (options: ${known.join(', ')})`)
  }
}

function isStore(made: StoreForContract): made is Store {
  return typeof (made as Store).get === 'function'
}
