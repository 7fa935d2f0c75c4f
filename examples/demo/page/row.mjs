// Panel 4: the cookie of device 1, and its row.
import { act, element, moment, newest, post } from './dom.mjs'

const panel = document.querySelector('#row')
const toggle = panel.querySelector('[role=switch]')
const look = newest('/device/1/row')

export function startRow() {
  toggle.addEventListener('click', () =>
    act(toggle, panel, async () => {
      await post('/device/1/encryption', { isOn: toggle.getAttribute('aria-checked') !== 'true' })
      await refreshRow()
    })
  )
}

export async function refreshRow() {
  const newestRow = await look()
  if (newestRow === undefined) return
  const { cookie, row, isEncrypted } = newestRow
  toggle.setAttribute('aria-checked', isEncrypted)
  panel.querySelector('.empty').hidden = row !== null
  panel.querySelector('.stored').hidden = row === null
  if (row === null) return
  const [inBrowser, inTable] = panel.querySelectorAll('.fields')
  inBrowser.replaceChildren(
    ...field('name', cookie.name, 'httpOnly, sameSite=strict'),
    ...field('session id', cookie.id, 'the secret; masked here, too'),
    ...field('signature', cookie.signature, 'of express-session')
  )
  inTable.replaceChildren(
    ...field('id', row.id, 'SHA-256 of the session id'),
    ...dataField(row.data),
    ...field('owner_id', row.owner_id, 'whose session it is'),
    ...field('revision', row.revision, 'grows with each change'),
    ...field('expires_at', row.expires_at, moment(Number(row.expires_at))),
    ...field('last_seen_at', row.last_seen_at, moment(Number(row.last_seen_at)))
  )
}

function dataField(data) {
  if (data.startsWith('{')) return field('data', formatted(data), 'JSON', 'data')
  return field('data', data, 'AES-256-GCM, with a key for each row', 'cipher')
}

function field(name, value, remark, kind = '') {
  return [
    element('dt', { textContent: name }),
    element('dd', { className: kind }, element('code', { textContent: String(value) }), element('small', { textContent: remark }))
  ]
}

/** One key of the session a line. */
function formatted(data) {
  const lines = Object.entries(JSON.parse(data)).map(([key, value]) => `  ${JSON.stringify(key)}: ${JSON.stringify(value)}`)
  return `{\n${lines.join(',\n')}\n}`
}
