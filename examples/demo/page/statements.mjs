// Panel 5: statements a request, of this store and of a peer under the same load.
import { drawn } from './dom.mjs'

const panel = document.querySelector('#statements')
/** Over so many samples, because visitors come in waves. */
const SMOOTHED = 5
const SIGNING_IN = 3
/** The upper end of the drawing, in statements a request. */
const HIGHEST = 2.5

export function startStatements({ kind, shops }) {
  panel.querySelector('.peer dt').textContent = shops.peer
  for (const text of panel.querySelectorAll('[data-kind]')) text.hidden = (text.dataset.kind === 'sqlite') !== (kind === 'sqlite')
}

export function showStatements({ samples, width }) {
  // At first all visitors sign in, which is not what most requests are.
  const compared = samples.filter(({ isComparison }) => isComparison).slice(SIGNING_IN)
  if (compared.length === 0) return
  const drawing = ['peer', 'ours'].map((name) => {
    const values = compared.map((_, at) => perRequest(compared, at, name))
    const row = panel.querySelector(`.${name}`)
    row.querySelector('dd').textContent = values.at(-1).toFixed(2)
    row.style.setProperty('--share', `${shareOf(values.at(-1)) * 100}%`)
    const points = values.map((value, at) => `${width - values.length + at + 1},${25 - shareOf(value) * 24}`)
    return drawn('polyline', { points: points.join(' '), class: name })
  })
  panel.querySelector('.lines').replaceChildren(...drawing)
}

function shareOf(value) {
  return Math.min(value / HIGHEST, 1)
}

function perRequest(samples, at, name) {
  const window = samples.slice(Math.max(0, at - SMOOTHED + 1), at + 1)
  const sum = (what) => window.reduce((total, sample) => total + sample[name][what], 0)
  return sum('statements') / Math.max(1, sum('served'))
}
