// Opens every page of the built site in Chromium, at two widths, light and dark: node docs/check.mjs [folder for screenshots]
// Fails on an error in the console, on a request that fails, and on a page that is wider than its window.
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { extname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'

const BASE = '/knex-session-store/'
const SITE = fileURLToPath(new URL('.vitepress/dist/', import.meta.url))
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.woff2': 'font/woff2' }
const WIDTHS = [390, 1280]
const SCHEMES = ['light', 'dark']
const BROWSERS = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
const pictures = process.argv[2]

const executablePath = BROWSERS.find((path) => path !== undefined && existsSync(path))
if (executablePath === undefined) {
  console.error('There is no Chromium: apt-get install chromium, or give its path as CHROMIUM.')
  process.exit(1)
}
if (!existsSync(SITE)) {
  console.error('The site is not built: npm run docs:build')
  process.exit(1)
}
if (pictures !== undefined) await mkdir(pictures, { recursive: true })

// An idle connection stays open: Chromium would have no answer to what it sends on it as the server closes it.
const server = createServer({ keepAliveTimeout: 0 }, serve)
await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
const origin = `http://127.0.0.1:${server.address().port}${BASE}`
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
const faults = []
const pages = (await readdir(SITE, { recursive: true })).filter((name) => name.endsWith('.html') && name !== '404.html').sort()
try {
  for (const colorScheme of SCHEMES) {
    for (const width of WIDTHS) {
      const context = await browser.newContext({ colorScheme, viewport: { width, height: 900 } })
      const page = await context.newPage()
      for (const name of pages) await look(page, name, `${name} at ${width} px, ${colorScheme}`, `${width}-${colorScheme}`)
      await context.close()
    }
  }
  await search()
} finally {
  await browser.close()
  server.close()
  server.closeAllConnections()
}
for (const fault of faults) console.error(fault)
console.log(`${pages.length} pages, ${WIDTHS.length} widths, ${SCHEMES.length} schemes: ${faults.length} faults`)
process.exitCode = faults.length > 0 || pages.length < 20 ? 1 : 0

async function look(page, name, title, kind) {
  const onConsole = (message) => message.type() === 'error' && faults.push(`${title}: ${message.text()}`)
  const onError = (error) => faults.push(`${title}: ${error.message}`)
  const onResponse = (response) => response.status() >= 400 && faults.push(`${title}: ${response.status()} ${response.url()}`)
  page.on('console', onConsole).on('pageerror', onError).on('response', onResponse)
  await page.goto(origin + name.replace(/(^|\/)index\.html$/, '$1').replace(/\.html$/, ''), { waitUntil: 'load' })
  await alive(page)
  const { scrollWidth, clientWidth } = await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement
    return { scrollWidth, clientWidth }
  })
  if (scrollWidth > clientWidth) faults.push(`${title}: ${scrollWidth} px wide`)
  if (!name.startsWith('api/') && pictures !== undefined) {
    await page.screenshot({ path: join(pictures, `${name.replaceAll('/', '-').replace('.html', '')}-${kind}.png`), fullPage: true })
  }
  page.off('console', onConsole).off('pageerror', onError).off('response', onResponse)
}

/** When the page's JavaScript has taken over what the server sent, and the fonts are there. */
async function alive(page) {
  await page.waitForFunction(() => document.querySelector('#app')?.__vue_app__ !== undefined)
  await page.evaluate(() => document.fonts.ready)
}

/** A visitor who looks for an option finds the page that has it. */
async function search() {
  const page = await browser.newPage()
  await page.goto(origin, { waitUntil: 'load' })
  await alive(page)
  const input = page.locator('#localsearch-input')
  // Again until it is heard: the page listens to the keyboard a moment after it is alive.
  for (const end = Date.now() + 30_000; !(await input.isVisible()) && Date.now() < end; await page.waitForTimeout(100)) {
    await page.keyboard.press('Control+k')
  }
  await input.fill('maxSessionsPerOwner')
  const found = page.locator('#localsearch-list a').first()
  await found.waitFor()
  const href = await found.getAttribute('href')
  if (!/(options|owners)/.test(href ?? '')) faults.push(`the search for an option leads to ${href}`)
  await page.close()
}

/** As a code host's pages serve it: /options is options.html. */
async function serve(request, response) {
  const path = decodeURIComponent(new URL(request.url, 'http://localhost').pathname)
  const inside = join(SITE, path.startsWith(BASE) ? path.slice(BASE.length) : 'nowhere')
  const file = [inside, `${inside}.html`, join(inside, 'index.html')].find((name) => extname(name) !== '' && existsSync(name))
  if (file === undefined || relative(SITE, file).startsWith('..')) return response.writeHead(404).end()
  response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(await readFile(file))
}
