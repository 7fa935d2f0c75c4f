// Panel 1. Each device of the page has a session cookie for paths of its own, so they are signed in and out independently.
import { act, element, newest, post, time } from './dom.mjs'

const ORDINALS = ['first', 'second', 'third']
const template = document.querySelector('#device')
const add = document.querySelector('#add-device')
const cards = []

export function startDevices() {
  open()
  add.addEventListener('click', () => open().focus())
}

/** Looks at all devices anew. */
export function refreshDevices() {
  for (const card of cards) card.refresh()
}

function open() {
  const card = new DeviceCard(cards.length + 1)
  cards.push(card)
  add.before(card.root)
  add.hidden = cards.length === ORDINALS.length
  add.lastChild.textContent = ` Open a ${ORDINALS[cards.length] ?? ''} device`
  card.refresh()
  return card
}

class DeviceCard {
  root = template.content.firstElementChild.cloneNode(true)
  #path
  #isSignedIn = false
  #note = ''
  /** While it signs itself out. */
  #isLeaving = false
  #look
  #shown = ''

  constructor(number) {
    this.#path = `/device/${number}`
    this.#look = newest(`${this.#path}/devices`)
    this.root.setAttribute('aria-label', `Device ${number}`)
    this.#find('h3').textContent = `Device ${number}`
    this.#find('form').addEventListener('submit', (event) => this.#signIn(event))
    for (const button of this.root.querySelectorAll('[data-do]')) {
      button.addEventListener('click', () => this.#end(button, button.dataset.do))
    }
  }

  focus() {
    this.#find('[name=name]').focus()
  }

  async refresh() {
    const newestDevices = await this.#look().catch(() => undefined)
    if (newestDevices === undefined) return
    const { user, devices } = newestDevices
    const isSignedIn = user !== null
    if (isSignedIn) this.#note = ''
    else if (this.#isSignedIn) this.#note = this.#isLeaving ? 'Signed out.' : `Ended from another device at ${time(Date.now())}.`
    this.#isSignedIn = isSignedIn
    this.#find('form').hidden = isSignedIn
    this.#find('.signed-in').hidden = !isSignedIn
    this.#find('.note').textContent = this.#note
    this.#find('.pill').textContent = user ?? 'signed out'
    this.root.classList.toggle('is-in', isSignedIn)
    this.root.classList.toggle('is-ended', this.#note.startsWith('Ended'))
    this.#list(devices)
  }

  #list(devices) {
    const shown = JSON.stringify(devices)
    // What has not changed keeps its focus.
    if (shown === this.#shown) return
    this.#shown = shown
    const list = this.#find('.list')
    const hadFocus = list.contains(document.activeElement)
    list.replaceChildren(...devices.map((device) => this.#row(device)))
    if (hadFocus) list.focus({ preventScroll: true })
  }

  #row({ handle, isCurrent, createdAt, details }) {
    const name = `Device ${details?.device ?? '?'}`
    const text = element(
      'span',
      {},
      element('strong', {}, name, isCurrent ? element('em', {}, 'this device') : null),
      element('small', {}, `${agentName(details?.agent)} at ${details?.address ?? 'an unknown address'}`),
      element('small', {}, `since ${time(createdAt)}`)
    )
    if (isCurrent) return element('li', {}, text)
    const end = element('button', { type: 'button', textContent: 'End', 'aria-label': `End the session of ${name}` })
    end.addEventListener('click', () => this.#end(end, 'end', { handle }))
    return element('li', {}, text, end)
  }

  #signIn(event) {
    event.preventDefault()
    const { name, password } = Object.fromEntries(new FormData(event.target))
    act(event.submitter ?? this.#find('form button'), this.root, async () => {
      await post(`${this.#path}/sign-in`, { name, password })
      await this.refresh()
      this.#find('.list').focus({ preventScroll: true })
    })
  }

  #end(button, what, body) {
    act(button, this.root, async () => {
      const isOwn = what === 'sign-out' || what === 'sign-out-everywhere'
      this.#isLeaving = isOwn
      await post(`${this.#path}/${what}`, body)
      await this.refresh()
      // What was pressed is gone: the focus stays in this device.
      if (isOwn) this.focus()
      else this.#find('.list').focus({ preventScroll: true })
    })
  }

  #find(selector) {
    return this.root.querySelector(selector)
  }
}

function agentName(agent = '') {
  const browser = [
    ['Edg/', 'Edge'],
    ['Firefox/', 'Firefox'],
    ['Chrome/', 'Chromium'],
    ['Safari/', 'Safari']
  ].find(([mark]) => agent.includes(mark))
  const system = ['Android', 'iPhone', 'iPad', 'Windows', 'Mac', 'Linux'].find((name) => agent.includes(name))
  return `${browser?.[1] ?? 'A browser'} on ${system ?? 'some system'}`
}
