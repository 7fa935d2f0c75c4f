// Panel 2. Each shop runs its rounds in a request of its own; its row is filled when it is done.
import { act, count, element, post } from './dom.mjs'

const panel = document.querySelector('#races')
const cards = [...panel.querySelectorAll('[data-race]')]

export function startRaces(shops) {
  for (const card of cards) {
    const rows = Object.entries(shops).map(([shop, name]) =>
      element(
        'tr',
        { 'data-shop': shop },
        element('th', { scope: 'row', textContent: name }),
        element('td', {}, element('div', { className: 'bar' }), element('span', { className: 'result', textContent: 'not run yet' }))
      )
    )
    card.querySelector('tbody').replaceChildren(...rows)
  }
  const form = panel.querySelector('form')
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    const rounds = Number(form.elements.rounds.value)
    act(form.querySelector('button'), panel, async () => {
      await Promise.all(cards.flatMap((card) => Object.keys(shops).map((shop) => run(card, shop, rounds))))
      panel.querySelector('[role=status]').textContent = `Both races were run, ${rounds} rounds on each store.`
    })
  })
}

async function run(card, shop, rounds) {
  const row = card.querySelector(`[data-shop=${shop}]`)
  show(row, '', 'running …')
  try {
    const { good } = await post(`/races/${card.dataset.race}/${shop}`, { rounds })
    const bad = rounds - good
    const [kind, number, word] = bad === 0 ? ['good', good, card.dataset.good] : ['bad', bad, card.dataset.bad]
    show(row, kind, `${count(number)} of ${count(rounds)} ${word}`)
    row.querySelector('.bar').style.setProperty('--share', `${(number / rounds) * 100}%`)
  } catch (error) {
    show(row, '', 'not finished')
    throw error
  }
}

function show(row, kind, text) {
  row.className = kind
  row.querySelector('.bar').style.setProperty('--share', '0%')
  row.querySelector('.result').textContent = text
}
