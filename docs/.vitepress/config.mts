import { existsSync, readFileSync } from 'node:fs'
import { defineConfig } from 'vitepress'
import { linkOfSite, REPOSITORY } from './links.ts'
import { slugify } from './slugify.ts'

const API_SIDEBAR = new URL('../api/typedoc-sidebar.json', import.meta.url)
const api = existsSync(API_SIDEBAR) ? JSON.parse(readFileSync(API_SIDEBAR, 'utf8')) : []
const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))

/** Where GitHub Pages serves a project. DOCS_BASE=/ for a host of its own. */
const base = process.env.DOCS_BASE ?? '/knex-session-store/'

const page = (text: string, name: string) => ({ text, link: `/${name}` })

export default defineConfig({
  title: 'knex-session-store',
  description: 'The express-session store for the SQL database you already run',
  lang: 'en',
  base,
  head: [['link', { rel: 'icon', href: `${base}icon.svg` }]],
  cleanUrls: true,
  // On the code host, README.md is what a folder shows.
  rewrites: { 'README.md': 'index.md' },
  srcExclude: ['node_modules/**'],
  lastUpdated: false,
  markdown: {
    anchor: { slugify },
    theme: { light: 'github-light-high-contrast', dark: 'github-dark' },
    config(md) {
      const before = md.renderer.rules.link_open ?? ((tokens, index, options, _env, self) => self.renderToken(tokens, index, options))
      md.renderer.rules.link_open = (tokens, index, options, env, self) => {
        const token = tokens[index]
        token?.attrSet('href', linkOfSite(token.attrGet('href') ?? ''))
        return before(tokens, index, options, env, self)
      }
      // Wide tables are scrolled by themselves, also with the keyboard.
      md.renderer.rules.table_open = () => '<div class="table" tabindex="0" role="region" aria-label="Table"><table>\n'
      md.renderer.rules.table_close = () => '</table></div>\n'
    }
  },
  transformPageData(data) {
    // Made by typedoc from the doc comments, so there is no such file to edit.
    if (data.relativePath.startsWith('api/')) data.frontmatter.editLink = false
    if (data.relativePath !== 'index.md') return
    Object.assign(data.frontmatter, {
      layout: 'home',
      hero: {
        name: 'knex-session-store',
        text: 'Sessions in the SQL database you already run',
        tagline: 'No lost update. No log-out undone. Nothing to set up. For express-session on PostgreSQL, SQLite, MariaDB and MySQL.',
        actions: [
          { theme: 'brand', text: 'Get started', link: '/getting-started' },
          { theme: 'alt', text: 'What it guarantees', link: '/guarantees' },
          { theme: 'alt', text: 'Move in', link: '/migrating' }
        ]
      }
    })
  },
  themeConfig: {
    outline: [2, 3],
    search: { provider: 'local' },
    socialLinks: [{ icon: 'github', link: REPOSITORY }],
    editLink: { pattern: `${REPOSITORY}/edit/main/docs/:path`, text: 'Edit this page' },
    footer: { message: 'MIT License' },
    logo: '/icon.svg',
    nav: [
      page('Start', 'getting-started'),
      page('Options', 'options'),
      { text: 'API', link: '/api/', activeMatch: '/api/' },
      { text: version, items: [{ text: 'Changelog', link: `${REPOSITORY}/blob/main/CHANGELOG.md` }] }
    ],
    sidebar: {
      '/api/': [{ text: 'API reference', link: '/api/', items: api }],
      '/': [
        {
          text: 'Start',
          items: [
            page('Getting started', 'getting-started'),
            page('TypeScript', 'typescript'),
            page('Moving in', 'migrating'),
            page('Questions', 'faq')
          ]
        },
        {
          text: 'Use',
          items: [
            page('Options', 'options'),
            page('Methods and events', 'methods'),
            page('Owners and devices', 'owners'),
            page('The unit of work', 'unit-of-work'),
            page('Other clients', 'clients'),
            page('Testing', 'testing'),
            page('The command line', 'cli'),
            page('Troubleshooting', 'troubleshooting'),
            { text: 'API reference', link: '/api/' }
          ]
        },
        {
          text: 'Run',
          items: [
            page('Checklist for production', 'production'),
            page('Databases', 'databases'),
            page('The table and its migrations', 'migrations'),
            page('Growing', 'scaling'),
            page('Security', 'security'),
            page('Observability', 'observability')
          ]
        },
        {
          text: 'Judge',
          items: [
            page('Guarantees', 'guarantees'),
            page('Concurrency', 'concurrency'),
            page('Benchmarks', 'benchmarks'),
            page('Broken on purpose', 'chaos')
          ]
        }
      ]
    }
  }
})
