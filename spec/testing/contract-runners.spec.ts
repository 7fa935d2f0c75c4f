import { execFile } from 'node:child_process'
import { join } from 'node:path'
import * as nodeTest from 'node:test'
import { promisify } from 'node:util'
import { MemoryStore } from 'express-session'
import { describe, expect, it, vi } from 'vitest'
import { InvalidOptionError, UnknownOptionError } from '../../lib/errors'
import { type ContractRunner, type SessionStoreContractOptions, sessionStoreContract } from '../../lib/testing/session-store-contract'

interface Declared {
  title: string
  skipped: boolean
  body: (...context: unknown[]) => Promise<void>
}

function declared(
  options: SessionStoreContractOptions = {},
  makeStore: Parameters<typeof sessionStoreContract>[0] = () => new MemoryStore()
): Declared[] {
  const specs: Declared[] = []
  const collect = (skipped: boolean) => (title: string, body: Declared['body']) => specs.push({ title, skipped, body })
  sessionStoreContract(makeStore, {
    describe: (_title, body) => body(),
    it: Object.assign(collect(false), { skip: collect(true) }),
    ...options
  })
  return specs
}

function find(specs: Declared[], title: string): Declared {
  const spec = specs.find((candidate) => candidate.title === title)
  if (!spec) throw new Error(`no spec ${title}`)
  return spec
}

describe('the contract in a test runner', () => {
  it('runs in node:test, where what the store lacks or declares is a skip with its reason', async () => {
    const { NODE_TEST_CONTEXT: _context, NODE_OPTIONS: _options, ...env } = process.env
    const file = join(__dirname, 'contract.node-test.mjs')
    const { stdout } = await promisify(execFile)(process.execPath, ['--test', '--test-reporter=tap', file], { env })
    expect(stdout).toMatch(/^# fail 0$/m)
    expect(stdout).toMatch(/^# skipped 7$/m)
    expect(Number(/^# pass (\d+)$/m.exec(stdout)?.[1])).toBeGreaterThan(60)
    expect(stdout).toContain('length of an empty store is zero (skipped: length of MemoryStore needs all())')
    expect(stdout).toContain('all of an empty store is empty # SKIP the store has no all()')
  })

  it('takes describe and it from the globals, as Jest has them', async () => {
    const titles: string[] = []
    vi.stubGlobal('describe', (_title: string, body: () => void) => body())
    vi.stubGlobal(
      'it',
      Object.assign((title: string) => titles.push(title), { skip: () => undefined })
    )
    try {
      sessionStoreContract(() => new MemoryStore())
    } finally {
      vi.unstubAllGlobals()
    }
    expect(titles).toContain('touch extends the life')
  })

  it('prints why a spec is not run where the runner cannot skip one that has begun, as Jest cannot', async () => {
    const print = vi.spyOn(console, 'info').mockImplementation(() => undefined)
    const specs = declared({}, () => Object.assign(new MemoryStore(), { touch: undefined }))
    await find(specs, 'touch extends the life').body()
    expect(print.mock.calls).toEqual([['not run: touch extends the life: the store has no touch()']])
    print.mockRestore()
  })

  it('declares specs whose bodies have no parameters, which Jest would take for a done callback', () => {
    expect(declared().every(({ body }) => body.length === 0)).toBe(true)
  })

  it('gives each spec a title of its own', () => {
    const titles = declared().map(({ title }) => title)
    expect(new Set(titles).size).toBe(titles.length)
  })

  it('shows what a store does otherwise by design as a skip with its reason', () => {
    const specs = declared({ skip: { 'a megabyte comes back': 'the store refuses more than 64 KB' } })
    expect(specs.filter(({ skipped }) => skipped).map(({ title }) => title)).toEqual([
      'a megabyte comes back (skipped: the store refuses more than 64 KB)'
    ])
  })

  it('refuses to skip a spec that it does not have', () => {
    expect(() => declared({ skip: { 'a megabite comes back': 'no' } as object })).toThrow(UnknownOptionError)
  })

  it('says what to give where there is no describe or it', () => {
    expect(() => sessionStoreContract(() => new MemoryStore())).toThrow(InvalidOptionError)
    expect(() => sessionStoreContract(() => new MemoryStore())).toThrow('sessionStoreContract(makeStore, { describe, it })')
  })

  it('accepts the runners of vitest and of node:test', () => {
    const runners: ContractRunner[] = [{ describe, it }, nodeTest]
    expect(runners).toHaveLength(2)
  })
})

describe('a store made for the contract', () => {
  const passing = 'get returns what set stored'

  it('is made for each spec, and may come as a promise', async () => {
    let made = 0
    const specs = declared({}, async () => {
      made++
      return new MemoryStore()
    })
    for (let spec = 1; spec <= 3; spec++) {
      await find(specs, passing).body()
      expect(made).toBe(spec)
    }
  })

  it('is disposed of after the spec, also after one that fails', async () => {
    let disposed = 0
    const dispose = async () => {
      disposed++
    }
    await find(
      declared({}, () => ({ store: new MemoryStore(), dispose })),
      passing
    ).body()
    expect(disposed).toBe(1)
    const broken = Object.assign(new MemoryStore(), { set: (_sid: string, _session: unknown, answer: () => void) => setImmediate(answer) })
    await expect(
      find(
        declared({}, () => ({ store: broken, dispose })),
        passing
      ).body()
    ).rejects.toThrow('expected get to return the session')
    expect(disposed).toBe(2)
  })

  it('is disposed of by its own asyncDispose where no other way is given', async () => {
    let disposed = 0
    const store = Object.assign(new MemoryStore(), {
      async [Symbol.asyncDispose]() {
        disposed++
      }
    })
    await find(
      declared({}, () => store),
      passing
    ).body()
    expect(disposed).toBe(1)
  })
})
