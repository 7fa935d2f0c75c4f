import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { scenarios } from './scenarios/index.mts'
import type { Row } from './stage.mts'
import { tableOf } from './table.mts'

const FOLDER = join(import.meta.dirname, 'results')

/** A file for each scenario, store and database: the latest run of each. */
export async function writeResult(row: Row): Promise<void> {
  await mkdir(FOLDER, { recursive: true })
  const file = join(FOLDER, `${row.scenario}.${row.database}.${row.store}.json`)
  await writeFile(file, `${JSON.stringify({ measuredAt: new Date().toISOString(), node: process.version, ...row }, null, 2)}\n`)
}

/** Writes RESULTS.md from all results that there are. */
export async function writeTable(): Promise<void> {
  const files = (await readdir(FOLDER)).filter((name) => name.endsWith('.json'))
  const rows: Row[] = await Promise.all(files.map(async (file) => JSON.parse(await readFile(join(FOLDER, file), 'utf8'))))
  const place = ({ scenario }: Row) => scenarios.findIndex(({ name }) => name === scenario)
  const ours = ({ store }: Row) => (store === 'knex-session-store' ? 0 : 1)
  const sorted = rows
    .filter(({ store }) => store !== 'broken')
    .sort((a, b) => ours(a) - ours(b) || a.store.localeCompare(b.store) || place(a) - place(b) || a.database.localeCompare(b.database))
  await writeFile(
    join(import.meta.dirname, 'RESULTS.md'),
    `# What was broken, and what was lost

Written by \`npm run chaos\`. [docs/chaos.md](../docs/chaos.md) says what the columns mean. Bold is bad; in brackets is what the setting does not promise.

${tableOf(sorted)}
`
  )
}
