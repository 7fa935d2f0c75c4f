/** A DOM element with properties, attributes (`aria-…`, `role`, `data-…`) and children. Text is always text, never markup. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value
    else made.setAttribute(name, value)
  }
  made.append(...children.filter((child) => child !== undefined && child !== null))
  return made
}

/** Part of a drawing. */
export function drawn(tag, attributes) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  return made
}

export async function get(path) {
  return respond(fetch(path))
}

export async function post(path, body = {}) {
  return respond(fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }))
}

async function respond(request) {
  const response = await request.catch(() => {
    throw new Error('The demo does not respond. Is it still running in its terminal?')
  })
  const body = await response.json().catch(() => ({}))
  if (!response.ok) throw new Error(body.message ?? 'The demo sent an unexpected response. Load the page again.')
  return body
}

/** A `get` that returns undefined if another one of it began before its response came, so what is older is never shown last. */
export function newest(path) {
  let looks = 0
  return async () => {
    const look = ++looks
    const body = await get(path)
    return look === looks ? body : undefined
  }
}

/**
 * Does what a button is for. The button stays focusable meanwhile, and takes no second click. What goes wrong is said in the problem line of the
 * panel.
 */
export async function act(button, panel, work) {
  if (button.getAttribute('aria-busy') === 'true') return
  const problem = panel.querySelector('.problem')
  problem.hidden = true
  button.setAttribute('aria-busy', 'true')
  try {
    await work()
  } catch (error) {
    problem.textContent = error.message
    problem.hidden = false
  } finally {
    button.removeAttribute('aria-busy')
  }
}

export const count = (number) => number.toLocaleString('en')
export const moment = (ms) => new Date(ms).toLocaleString('en', { dateStyle: 'medium', timeStyle: 'short', hourCycle: 'h23' })
export const time = (ms) =>
  new Date(ms).toLocaleTimeString('en', { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' })
