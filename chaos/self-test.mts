import type { Row, Scenario } from './scenarios/scenario.mts'

/** What a store breaks, and the faults that the runner has to find then. */
const CASES: readonly { readonly breaks: readonly string[]; readonly found: readonly string[] }[] = [
  { breaks: [], found: [] },
  {
    breaks: ['loses sets', 'loses touches', 'loses destroys', 'leaves connections'],
    found: ['sets lost', 'touches lost', 'destroys lost', 'connections left']
  },
  { breaks: ['overwrites'], found: ['updates lost', 'risen from the dead'] },
  { breaks: ['swallows callbacks'], found: ['callbacks missing'] },
  { breaks: ['crashes'], found: ['crashes'] }
]

/** Runs stores that are broken on purpose, and says which of their faults were not found, and what was found that is none. */
export async function selfTest(calm: Scenario, runOne: (scenario: Scenario) => Promise<Row | undefined>): Promise<string[]> {
  const complaints: string[] = []
  for (const { breaks, found } of CASES) {
    const row = await runOne({ ...calm, name: `self-test: ${breaks.join(', ') || 'nothing broken'}`, options: { faults: breaks } })
    const faults = (row?.faults ?? ['not run']).map((fault) => fault.replace(/^\d+ /, ''))
    for (const fault of found) if (!faults.includes(fault)) complaints.push(`a store that ${breaks.join(', ')}: no "${fault}" was found`)
    if (found.length === 0) complaints.push(...faults.map((fault) => `a store that breaks nothing: "${fault}" was found`))
  }
  return complaints
}
