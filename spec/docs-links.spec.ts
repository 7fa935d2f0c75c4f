import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix, resolve } from 'node:path'
import { KnexSessionStore } from 'knex-session-store'
import { describe, expect, it } from 'vitest'
import { REPOSITORY } from '../docs/.vitepress/links.ts'
import { slugify } from '../docs/.vitepress/slugify.ts'
import { STORE_OPTIONS } from '../lib/options/store-options'

const ROOT = resolve(__dirname, '..')
const GUIDES = readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md'))
const PAGES = [
  ...['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md', 'bench/README.md', 'examples/README.md'].filter(exists),
  ...GUIDES.map((name) => `docs/${name}`)
]
const manifest = JSON.parse(read('package.json'))

describe('the links of', () => {
  it.each(PAGES)('%s lead somewhere, to a heading if they name one', (page) => {
    expect(brokenLinks(page, read(page))).toEqual([])
  })

  it('a page with mistakes are told', () => {
    const text = `
[a](options.md) [b](options.md#when-requests-overlap) [c](https://example.org) [d](#a-heading) ![e](../bench/results/chart-light.svg)
[1](nowhere.md) [2](options.md#no-such-heading) [3](#none) [4](${REPOSITORY}/blob/main/docs/none.md) [5](api/index.md)
<img src="none.svg"> <source srcset="none-dark.svg">

\`\`\`sh
# none
\`\`\`

## A heading
`
    const broken = ['nowhere.md', 'options.md#no-such-heading', '#none', `${REPOSITORY}/blob/main/docs/none.md`, 'api/index.md', 'none.svg']
    expect(brokenLinks('docs/mistake.md', text)).toEqual([...broken, 'none-dark.svg'])
  })
})

it('README.md has only links that work on the page of a registry too: addresses, and files that are packed', () => {
  const packed = [...manifest.files, 'LICENSE', 'README.md']
  const others = linksOf(read('README.md')).filter((link) => !/^(https?:|#)/.test(link) && !packed.includes(link.split('/')[0]))
  expect(others).toEqual([])
})

describe('the site', () => {
  const config = read('docs/.vitepress/config.mts')
  const entry = linksOf(read('docs/README.md')).map((link) => link.split('#')[0])

  it.each(GUIDES.filter((name) => name !== 'README.md'))('leads to %s, by the entry page and by the list at the side', (name) => {
    expect(entry).toContain(name)
    expect(config).toContain(`'${name.replace(/\.md$/, '')}')`)
  })

  it('has the repository that the package names', () => {
    expect(manifest.repository.url).toBe(`git+${REPOSITORY}.git`)
    expect(manifest.bugs).toBe(`${REPOSITORY}/issues`)
  })
})

it('docs/options.md has every option', () => {
  const listed = [...read('docs/options.md').matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name)
  expect(listed.sort()).toEqual([...STORE_OPTIONS].sort())
})

it('docs/methods.md has every method', () => {
  const methods = Object.getOwnPropertyNames(KnexSessionStore.prototype).filter((name) => name !== 'constructor' && name !== 'isOfExpress')
  const text = read('docs/methods.md')
  expect(methods.filter((name) => !new RegExp(`\`${name}\\b`).test(text))).toEqual([])
  expect(methods.length).toBeGreaterThan(15)
})

function brokenLinks(page: string, text: string): string[] {
  return linksOf(text).filter((link) => {
    const [address = '', anchor] = link.startsWith(REPOSITORY) ? ofRepository(link) : [...link.split('#')]
    if (/^(https?|mailto):/.test(address)) return false
    const path = address.startsWith('/') ? address.slice(1) : posix.join(dirname(page), address)
    const target = address === '' ? page : path
    // What the site's build makes is on no code host.
    if (target !== page && (target.startsWith('docs/api/') || !exists(target))) return true
    return anchor !== undefined && !anchorsOf(target === page ? text : read(target)).includes(anchor)
  })
}

/** A file of this repository on the code host, as a path from the root, and its anchor. Other pages of the host are addresses. */
function ofRepository(link: string): string[] {
  const [, path, anchor] = /\/(?:blob|tree)\/main\/([^#]*)(?:#(.*))?$/.exec(link.slice(REPOSITORY.length)) ?? []
  if (path === undefined) return [link]
  return anchor === undefined ? [`/${path}`] : [`/${path}`, anchor]
}

function linksOf(text: string): string[] {
  const prose = withoutCode(text)
  const links = [...prose.matchAll(/\]\(([^()\s]+)\)|\b(?:src|srcset|href)="([^"\s]+)"/g)]
  return links.map(([, markdown, html]) => markdown ?? html ?? '')
}

function anchorsOf(text: string): string[] {
  const seen = new Map<string, number>()
  return [...withoutCode(text).matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = '']) => {
    const slug = slugify(heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1'))
    const times = seen.get(slug) ?? 0
    seen.set(slug, times + 1)
    return times === 0 ? slug : `${slug}-${times}`
  })
}

function withoutCode(text: string): string {
  return text.replaceAll(/^ *```.*?^ *```$/gms, '')
}

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}

function exists(path: string): boolean {
  return existsSync(join(ROOT, path))
}
