import { join } from 'node:path'
import { type Browser, chromium, type Locator, type Page } from 'playwright-core'
import { find } from '../support/find-program'

const READY = ':not([aria-busy=true])'
const PROGRAMS = ['chromium', 'chromium-browser', 'google-chrome']
export const NO_CHROMIUM = `skipped: the specs of the demo's page. There is none of ${PROGRAMS.join(', ')} here: apt-get install chromium`

/** Undefined if there is no Chromium on this machine. */
export async function openBrowser(): Promise<Browser | undefined> {
  for (const program of PROGRAMS) {
    const executablePath = await find(program)
    // Chromium refuses to run as root with its sandbox.
    const args = process.getuid?.() === 0 ? ['--no-sandbox'] : []
    if (executablePath !== undefined) return chromium.launch({ executablePath, args })
  }
  return undefined
}

export interface PageOptions {
  readonly width?: number
  readonly colorScheme?: 'light' | 'dark'
}

/** The page in a browser context of its own, with what went wrong in it. */
export class DemoPage implements AsyncDisposable {
  /** Messages of the console, errors of scripts, and requests that left the demo. */
  readonly faults: string[] = []

  private constructor(readonly page: Page) {}

  static async open(browser: Browser, address: string, { width = 1280, colorScheme = 'light' }: PageOptions = {}): Promise<DemoPage> {
    const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme, reducedMotion: 'reduce' })
    const page = await context.newPage()
    page.setDefaultTimeout(60_000)
    await page.addInitScript({ path: join(__dirname, 'in-page.js') })
    const demo = new DemoPage(page)
    page.on('console', (message) => demo.faults.push(`console: ${message.text()}`))
    page.on('pageerror', (error) => demo.faults.push(`script: ${error.message}`))
    page.on('request', (request) => {
      if (!request.url().startsWith(address)) demo.faults.push(`a request left the demo: ${request.url()}`)
    })
    await page.goto(address)
    await page
      .getByText('Running on')
      .getByText(/SQLite|PostgreSQL|MariaDB|MySQL/)
      .waitFor()
    return demo
  }

  panel(name: string): Locator {
    return this.page.getByRole('region', { name })
  }

  device(number: number): Locator {
    return this.page.getByRole('article', { name: `Device ${number}` })
  }

  button(name: string | RegExp, within: Locator | Page = this.page): Locator {
    return this.ready(within.getByRole('button', typeof name === 'string' ? { name, exact: true } : { name }))
  }

  /** The button once its last press is dealt with: the page takes no second press before. */
  ready(button: Locator): Locator {
    return button.and(this.page.locator(READY))
  }

  /** Presses a key where the focus is, once the button there takes it. */
  press(key: string): Promise<void> {
    return this.page.locator(`:focus${READY}`).press(key)
  }

  async signIn(number: number, name = 'ada', password = 'lovelace'): Promise<void> {
    const device = this.device(number)
    await device.getByLabel('Name').fill(name)
    await device.getByLabel('Password').fill(password)
    await this.button('Sign in', device).click()
    await this.button('Log out', device).waitFor()
  }

  async openDevice(): Promise<void> {
    await this.button(/Open a .* device/).click()
  }

  /** The texts whose contrast is below AA, each with its ratio. */
  lowContrasts(): Promise<string[]> {
    return this.page.evaluate('lowContrasts()')
  }

  /** By how many pixels the page is wider than the window. */
  excessWidth(): Promise<number> {
    return this.page.evaluate('document.documentElement.scrollWidth - innerWidth')
  }

  /** What has the focus. */
  focused(): Promise<{ name: string; device?: string; isVisible: boolean }> {
    return this.page.evaluate('focused()')
  }

  /** Presses Tab until something of this name has the focus, which must be visible on all the way. */
  async tabTo(name: RegExp): Promise<void> {
    for (let presses = 0; presses < 60; presses++) {
      await this.page.keyboard.press('Tab')
      const at = await this.focused()
      if (!at.isVisible) throw new Error(`the focus is not visible at: ${at.name}`)
      if (name.test(at.name)) return
    }
    throw new Error(`60 presses of Tab do not lead to ${name}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.page.context().close()
  }
}
