// Panel 6: what the two tables hold, before and after.
import { act, element, newest, post } from './dom.mjs'

const panel = document.querySelector('#orders')
const outcome = panel.querySelector('.outcome')
const look = newest('/device/1/orders')
let shown = new Set()
let content = ''

export function startOrders() {
  for (const button of panel.querySelectorAll('[data-fails]')) {
    button.addEventListener('click', () => act(button, panel, () => place(button.dataset.fails === 'true')))
  }
}

async function place(fails) {
  outcome.textContent = ''
  const { item, isKept } = await post('/device/1/orders', { fails })
  if (isKept) say('good', `Committed: the ${item.toLowerCase()} is in both tables.`)
  else say('bad', `Rolled back: the payment for the ${item.toLowerCase()} failed after both were written, and neither was kept.`)
  await refreshOrders()
}

function say(kind, text) {
  outcome.className = `outcome ${kind}`
  outcome.textContent = text
}

export async function refreshOrders() {
  const newestOrders = await look()
  if (newestOrders === undefined) return
  const { user, orders, session } = newestOrders
  panel.querySelector('.empty').hidden = user !== null
  panel.querySelector('.pair').hidden = user === null
  const isAsBefore = content === JSON.stringify([orders, session])
  // What is marked as new stays so until something else is.
  if (user === null || isAsBefore) return
  content = JSON.stringify([orders, session])
  const [first, second] = panel.querySelectorAll('tbody')
  const before = shown
  shown = new Set()
  fill(
    first,
    orders.map(({ id, item }) => [id, item]),
    before,
    'No orders yet'
  )
  fill(second, Object.entries(session), before, '')
}

/** What was not there the last time is marked. */
function fill(body, rows, before, empty) {
  const made = rows.map((cells) => {
    const key = JSON.stringify(cells)
    shown.add(key)
    const className = before.size > 0 && !before.has(key) ? 'is-new' : ''
    return element('tr', { className }, ...cells.map((cell) => element('td', { textContent: String(cell) })))
  })
  body.replaceChildren(
    ...(made.length > 0 ? made : [element('tr', {}, element('td', { colSpan: 2, className: 'hint', textContent: empty }))])
  )
}
