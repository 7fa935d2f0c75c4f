// The samples of the load, as they come over the event stream, for panels 3 and 5.
import { act, post } from './dom.mjs'
import { showFaults, startFaults } from './faults.mjs'
import { showStatements, startStatements } from './statements.mjs'

const SHOWN = 60
const samples = []
let running = { ours: false, peer: false }

export function startLoad(about) {
  startFaults(about)
  startStatements(about)
  toggle(document.querySelector('#faults'), 'ours')
  toggle(document.querySelector('#statements'), 'peer')
}

/** The button of panel 3 starts a load on this store alone, the one of panel 5 on the peer, too. */
function toggle(panel, name) {
  const button = panel.querySelector('.load')
  const press = () => (running[name] ? post('/load/stop') : post('/load/start', { withPeer: name === 'peer' }))
  button.addEventListener('click', () => act(button, panel, press))
}

export function showLoad({ ours, peer, fault }) {
  // A comparison begins anew when it is started.
  if (peer.isRunning && !running.peer) samples.length = 0
  running = { ours: ours.isRunning, peer: peer.isRunning }
  for (const [panel, name] of [
    ['#faults', 'ours'],
    ['#statements', 'peer']
  ]) {
    document.querySelector(`${panel} .load`).textContent = running[name] ? 'Stop the load' : 'Start the load'
  }
  const isUnderFault = fault !== undefined && !fault.isOver
  samples.push({ ours: ours.recent, peer: peer.recent, isComparison: peer.isRunning, isUnderFault })
  if (samples.length > SHOWN) samples.shift()
  showFaults({ samples, total: ours.total, fault, width: SHOWN })
  showStatements({ samples, width: SHOWN })
}
