// The page: asks what it runs on, starts the panels, and passes on what the event stream says.
import { refreshDevices, startDevices } from './devices.mjs'
import { get } from './dom.mjs'
import { showLoad, startLoad } from './load.mjs'
import { refreshOrders, startOrders } from './orders.mjs'
import { startRaces } from './races.mjs'
import { refreshRow, startRow } from './row.mjs'

const connection = document.querySelector('#connection')

function say(problem) {
  connection.textContent = problem ?? ''
  connection.hidden = problem === undefined
}

async function refreshRows() {
  await Promise.all([refreshRow(), refreshOrders()]).catch(({ message }) => say(message))
}

function listen() {
  const events = new EventSource('/events')
  events.addEventListener('open', () => {
    say()
    refreshDevices()
    refreshRows()
  })
  events.addEventListener('error', () =>
    say('The demo does not respond. Is it still running in its terminal? This page goes on by itself when it is.')
  )
  events.addEventListener('devices', () => {
    refreshDevices()
    refreshRows()
  })
  events.addEventListener('row', refreshRows)
  events.addEventListener('load', ({ data }) => showLoad(JSON.parse(data)))
}

try {
  const about = await get('/about')
  document.querySelector('#database').textContent = about.database
  document.querySelector('#database').title = about.place
  startRaces(about.shops)
  startLoad(about)
  startDevices()
  startRow()
  startOrders()
  listen()
} catch ({ message }) {
  say(message)
}
