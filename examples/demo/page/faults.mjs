// Panel 3: what is done to the database, and what the visitors notice.
import { act, count, drawn, element, post, time } from './dom.mjs'

const panel = document.querySelector('#faults')
const LOGGED = 4
/** The line of the fault that is being counted. */
let logged = { number: 0, line: undefined }

export function startFaults({ kind, cannot }) {
  if (kind === 'sqlite')
    describe('lock-row', 'Lock the file for 3 s', 'SQLite has no locks of rows: what writes waits, what reads does not.')
  for (const button of panel.querySelectorAll('[data-fault]')) {
    const { fault } = button.dataset
    if (cannot[fault] === undefined) {
      button.addEventListener('click', () => act(button, panel, () => post(`/faults/${fault}`)))
    } else {
      // Not `disabled`: the reason is to be reached by keyboard, too.
      button.setAttribute('aria-disabled', 'true')
      button.querySelector('span').textContent = cannot[fault]
    }
  }
}

function describe(fault, title, text) {
  const button = panel.querySelector(`[data-fault=${fault}]`)
  button.querySelector('strong').textContent = title
  button.querySelector('span').textContent = text
}

export function showFaults({ samples, total, fault, width }) {
  figure('served', count(total.served))
  figure('errors', count(total.errors)).classList.toggle('bad', total.errors > 0)
  figure('longest', milliseconds(total.longestMs))
  panel.querySelector('.strip').replaceChildren(...bars(samples, width))
  if (fault !== undefined) log(fault)
}

function figure(name, text) {
  const shown = panel.querySelector(`[data-figure=${name}]`)
  shown.textContent = text
  return shown
}

function bars(samples, width) {
  const most = Math.max(1, ...samples.map(({ ours }) => ours.served))
  return samples.flatMap(({ ours: { served, errors }, isUnderFault }, at) => {
    const x = width - samples.length + at
    const height = (served / most) * 19
    const bar = drawn('rect', { x: x + 0.15, y: 20 - height, width: 0.7, height, class: errors > 0 ? 'error' : 'served' })
    return isUnderFault ? [drawn('rect', { x, y: 0, width: 1, height: 20, class: 'fault' }), bar] : [bar]
  })
}

const TITLES = {
  'drop-table': () => 'The table was dropped.',
  'end-connections': ({ detail }) => (detail === undefined ? 'Connections are being ended …' : `${detail} connections were ended.`),
  'lock-row': ({ isOver }) => (isOver ? 'The lock is released.' : 'The lock is held …')
}

function log(fault) {
  const { number, kind, counts } = fault
  if (logged.number !== number) {
    logged = { number, line: element('span') }
    const list = panel.querySelector('.log')
    list.prepend(element('li', {}, element('time', { textContent: time(Date.now()) }), logged.line))
    while (list.children.length > LOGGED) list.lastChild.remove()
  }
  const title = TITLES[kind](fault)
  logged.line.replaceChildren(element('strong', { textContent: `${title} ` }), sentence(counts))
  // The counts change several times a second, so what is read aloud is the title alone.
  const status = panel.querySelector('[role=status]')
  if (status.textContent !== title) status.textContent = title
}

function sentence({ served, errors, signedOut, longestMs, longestChosenMs }) {
  const parts = [`${count(served)} requests served since`, errors === 1 ? '1 error' : `${count(errors)} errors`]
  if (longestChosenMs > 0)
    parts.push(`the visitor of the locked row waited ${milliseconds(longestChosenMs)}, the others at most ${milliseconds(longestMs)}`)
  else parts.push(`longest wait ${milliseconds(longestMs)}`)
  if (signedOut > 0) parts.push(`${count(signedOut)} visitors signed in again`)
  return `${parts.join(', ')}.`
}

function milliseconds(ms) {
  return ms === 0 ? '–' : `${count(Math.round(ms))} ms`
}
