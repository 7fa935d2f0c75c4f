import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { databaseNamed, databases, describeDatabases, type OpenDatabase } from '../support/databases'
import { checkLeaksPerFile } from '../support/leaks'
import { PATIENT } from '../support/patience'
import { DemoPage, NO_CHROMIUM, openBrowser, type PageOptions } from './demo-page'
import { Demo } from './demo-process'

/** Opened once: a browser takes a second to start. */
let browser: Browser

checkLeaksPerFile()

// A busy machine takes its time to paint a page.
vi.setConfig({ testTimeout: 120_000 })

/** What is shown follows what has happened. */
const eventually: typeof expect.poll = (look) => expect.poll(look, PATIENT)

beforeAll(async () => {
  const opened = await openBrowser()
  if (opened === undefined) console.warn(NO_CHROMIUM)
  else browser = opened
})

afterAll(() => browser?.close())

beforeEach(({ skip }) => {
  if (browser === undefined) skip(NO_CHROMIUM)
})

describeDatabases(
  'the page of the demo',
  (kind) => {
    // Each panel is used in both looks, on one database or another.
    const look: PageOptions = kind.name === 'sqlite' ? { width: 390, colorScheme: 'dark' } : { width: 1280, colorScheme: 'light' }
    let database: OpenDatabase
    let site: Demo
    beforeAll(async () => {
      database = await kind.open()
      site = await Demo.start(database)
    })
    afterAll(async () => {
      await site?.stop()
      await database?.[Symbol.asyncDispose]()
    })

    it('shows on a device that it was ended from another one, and ends all of them with "Log out everywhere"', async () => {
      await using demo = await DemoPage.open(browser, site.address, look)
      await demo.openDevice()
      await demo.signIn(1)
      await demo.signIn(2)
      const [first, second] = [demo.device(1), demo.device(2)]
      await eventually(() => first.getByRole('listitem').count()).toBe(2)
      await demo.button('End the session of Device 2', first).click()
      await second.getByText('Ended from another device').waitFor()
      await eventually(() => first.getByRole('listitem').count()).toBe(1)

      await demo.signIn(2)
      await demo.button('Log out all others', second).click()
      await first.getByText('Ended from another device').waitFor()
      await demo.signIn(1)
      await demo.button('Log out everywhere', second).click()
      await first.getByText('Ended from another device').waitFor()
      await eventually(() => second.getByRole('status').innerText()).toBe('Signed out.')
      expect(demo.faults).toEqual([])
    })

    it('keeps the devices of each user apart, and says what is wrong with a password', async () => {
      await using demo = await DemoPage.open(browser, site.address, look)
      await demo.openDevice()
      await demo.signIn(1, 'grace', 'hopper')
      await demo.signIn(2, 'alan', 'turing')
      await eventually(() => demo.device(1).getByRole('listitem').count()).toBe(1)
      await demo.button('Log out', demo.device(1)).click()
      await demo.device(1).getByLabel('Password').fill('wrong')
      await demo.button('Sign in', demo.device(1)).click()
      await demo.device(1).getByRole('alert').getByText('There is no user with this name and password').waitFor()
    })

    it('loses no change and revives no session in the races, where the two others always do', async () => {
      await using demo = await DemoPage.open(browser, site.address, look)
      const panel = demo.panel('Two requests at once')
      await panel.getByLabel('Rounds').selectOption('10')
      await demo.button('Run both races', panel).click()
      await panel.getByText('Both races were run, 10 rounds on each store').waitFor()
      const results = await panel.locator('.result').allInnerTexts()
      const others = (text: string) => [text, text]
      expect(results).toEqual(['10 of 10 kept', ...others('10 of 10 lost'), '10 of 10 signed out', ...others('10 of 10 signed in again')])
      expect(demo.faults).toEqual([])
    })

    it('serves every request while the table is dropped, connections end and a row is locked', async () => {
      await using demo = await DemoPage.open(browser, site.address, look)
      const panel = demo.panel('When the database is ill')
      const log = panel.getByRole('log')
      await demo.button(/^Drop the table/, panel).click()
      await log.getByText(/The table was dropped.*, 0 errors, .*40 visitors signed in again/).waitFor()
      const end = demo.button(/^End all connections/, panel)
      if (kind.name === 'sqlite') {
        expect(await end.getAttribute('aria-disabled')).toBe('true')
        expect(await end.innerText()).toContain('there is no server that could end connections')
      } else {
        await end.click()
        await log.getByText(/[1-9]\d* connections were ended. [1-9].*, 0 errors/).waitFor()
      }
      await demo.button(/^Lock (a row|the file)/, panel).click()
      await log.getByText('The lock is released.').waitFor()
      // Its visitor is served after that, and may have been served before the lock was held.
      const released = log.getByText('The lock is released.').locator('xpath=..')
      const waitedMs = async () => Number(/locked row waited ([\d,]+) ms/.exec(await released.innerText())?.[1]?.replace(',', '') ?? 0)
      if (kind.name !== 'sqlite') await eventually(waitedMs).toBeGreaterThan(2000)
      await demo.button('Stop the load', panel).click()
      await demo.button('Start the load', panel).waitFor()
      expect(await panel.getByText('Errors').locator('xpath=../dd').innerText()).toBe('0')
      expect(site.errors).toBe('')
      expect(demo.faults).toEqual([])
    })

    it('shows the row of the cookie, without its session id, and its data encrypted when the switch is on', async () => {
      await using demo = await DemoPage.open(browser, site.address, look)
      const panel = demo.panel('What is stored')
      await demo.signIn(1)
      const data = panel.locator('dd').filter({ hasText: /JSON|AES/ })
      await eventually(() => data.innerText()).toContain('"name": "ada"')
      const [cookie] = (await demo.page.context().cookies()).filter(({ name }) => name === 'device-1')
      const sessionId = decodeURIComponent(cookie?.value ?? '').slice(2, 34)
      expect(sessionId).toHaveLength(32)
      expect(await demo.page.content()).not.toContain(sessionId)

      const toggle = demo.ready(panel.getByRole('switch', { name: 'Encryption' }))
      await toggle.click()
      await eventually(() => data.innerText()).toMatch(/^e1\.[\w-]{8}\.[\w-]{100,}/)
      await eventually(() => toggle.getAttribute('aria-checked')).toBe('true')
      await toggle.click()
      await eventually(() => data.innerText()).toContain('"name": "ada"')
      expect(demo.faults).toEqual([])
    })

    it('counts fewer statements a request than the peer takes', async () => {
      await using demo = await DemoPage.open(browser, site.address, look)
      const panel = demo.panel('Statements a request')
      await demo.button('Start the load', panel).click()
      const [peer, ours] = [panel.locator('.peer dd'), panel.locator('.ours dd')]
      await eventually(async () => Number(await peer.innerText())).toBeGreaterThan(1.5)
      await eventually(async () => Number(await ours.innerText()) / Number(await peer.innerText())).toBeLessThan(0.7)
      await demo.button('Stop the load', panel).click()
      expect(demo.faults).toEqual([])
    })

    it('keeps an order and the session together, or neither', async () => {
      await using demo = await DemoPage.open(browser, site.address, look)
      await demo.signIn(1, 'alan', 'turing')
      const panel = demo.panel('One transaction')
      const rows = async () => Promise.all((await panel.getByRole('table').all()).map((table) => table.locator('tbody').innerText()))
      await demo.button('Place an order', panel).click()
      await panel.getByText('Committed:').waitFor()
      await eventually(async () => (await rows())[1]).toContain('ordersPlaced\t1')
      await eventually(async () => (await rows())[0]).toMatch(/^\d+\t\w+$/)
      const before = await rows()

      await demo.button('Place one, and fail at the payment', panel).click()
      await panel.getByText('Rolled back:').waitFor()
      await eventually(rows).toEqual(before)
      await demo.page.reload()
      await eventually(rows).toEqual(before)
      expect(demo.faults).toEqual([])
    })

    it('ends on Ctrl-C, while a page is open and a load runs', async () => {
      await using demo = await DemoPage.open(browser, site.address, look)
      await demo.button('Start the load', demo.panel('Statements a request')).click()
      await demo.button('Stop the load', demo.panel('Statements a request')).waitFor()
      expect(await site.stop()).toBe(0)
      expect(site.errors).toBe('')
      await demo.page.getByRole('alert').getByText('The demo does not respond').waitFor()
    })
  },
  databases
)

describe('the page of the demo', () => {
  let database: OpenDatabase
  let site: Demo
  beforeAll(async () => {
    database = await databaseNamed('sqlite').open()
    site = await Demo.start(database)
  })
  afterAll(async () => {
    await site?.stop()
    await database?.[Symbol.asyncDispose]()
  })

  it('is readable and no wider than the window, at 390 and 1280 pixels, light and dark', async () => {
    await using demo = await DemoPage.open(browser, site.address)
    const { page } = demo
    const looks = [390, 1280].flatMap((width) => [
      { width, colorScheme: 'light' as const },
      { width, colorScheme: 'dark' as const }
    ])
    const mistakes = async () => {
      const found: string[] = []
      for (const { width, colorScheme } of looks) {
        await page.setViewportSize({ width, height: 900 })
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
        const excess = await demo.excessWidth()
        const wrong = [...(await demo.lowContrasts()), ...(excess > 0 ? [`${excess} pixels too wide`] : [])]
        found.push(...wrong.map((what) => `${width} ${colorScheme}: ${what}`))
      }
      return found
    }
    expect(await mistakes()).toEqual([])
    await demo.openDevice()
    await demo.signIn(1)
    await demo.button('Run both races').click()
    await page.getByText('Both races were run').waitFor()
    await demo.button('Place an order').click()
    await page.getByText('Committed:').waitFor()
    expect(await mistakes()).toEqual([])
    await demo.ready(page.getByRole('switch')).click()
    await page.getByText(/^e1\./).waitFor()
    await demo.button('Place one, and fail at the payment').click()
    await page.getByText('Rolled back:').waitFor()
    await demo.button(/^Drop the table/).click()
    await page.getByText('The table was dropped.').first().waitFor()
    expect(await mistakes()).toEqual([])
    await demo.ready(page.getByRole('switch')).click()
    await demo.button('Stop the load', demo.panel('When the database is ill')).click()
    expect(demo.faults).toEqual([])
  })

  it('can be used by keyboard alone, and shows where the focus is', async () => {
    await using demo = await DemoPage.open(browser, site.address)
    const { page } = demo
    await demo.tabTo(/^Skip to the panels/)
    await demo.press('Enter')
    await demo.tabTo(/^Name/)
    await demo.tabTo(/^Password/)
    await demo.press('Enter')
    await demo.button('Log out', demo.device(1)).waitFor()
    await demo.tabTo(/Open a second device/)
    await demo.press('Enter')
    await eventually(async () => (await demo.focused()).name).toBe('Name')
    await demo.press('Enter')
    await demo.button('Log out', demo.device(2)).waitFor()
    await demo.tabTo(/^End the session of Device 1/)
    await demo.press('Enter')
    await demo.device(1).getByText('Ended from another device').waitFor()
    // What was pressed is gone. The focus is still in the device, not at the top of the page.
    await eventually(async () => (await demo.focused()).device).toBe('Device 2')
    await demo.tabTo(/^Run both races/)
    await demo.press('Enter')
    await page.getByText('Both races were run').waitFor()
    await demo.tabTo(/^End all connections/)
    await demo.tabTo(/^Encryption$/)
    await demo.press('Space')
    await eventually(() => page.getByRole('switch').getAttribute('aria-checked')).toBe('true')
    await demo.press('Space')
    await eventually(() => page.getByRole('switch').getAttribute('aria-checked')).toBe('false')
    expect(demo.faults).toEqual([])
  })

  it('refuses what comes from another site, and says errors in a sentence', async () => {
    const post = async (path: string, headers: Record<string, string>, body = '{}') => {
      const response = await fetch(`${site.address}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body
      })
      return { status: response.status, message: ((await response.json()) as { message?: string }).message }
    }
    const other = 'This request came from another site, so the demo refused it. Use the page at the address in the terminal.'
    const origin = site.address
    expect(await post('/device/1/sign-in', { origin: 'https://elsewhere.example' })).toEqual({ status: 403, message: other })
    expect(await post('/device/1/sign-in', {})).toEqual({ status: 403, message: other })
    expect(await post('/device/1/orders', { origin })).toEqual({ status: 401, message: 'This device is signed out. Sign in first.' })
    expect(await post('/races/change/ours', { origin }, '{"rounds":1e9}')).toEqual({
      status: 400,
      message: 'The number of rounds must be between 1 and 500.'
    })
    expect((await post('/device/1/orders', { origin }, '{')).message).toBe('The demo did not understand this request. Load the page again.')
    expect((await post('/elsewhere', { origin })).status).toBe(404)
    const { headers } = await fetch(origin)
    expect(headers.get('content-security-policy')).toContain("default-src 'none'; script-src 'self'; style-src 'self'")
    await eventually(() => site.errors).toContain('SyntaxError')
  })
})
