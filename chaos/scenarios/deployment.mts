import { ownership } from '../children.mts'
import { packVersion } from '../packages.mts'
import { onOneServer } from './one-server.mts'
import { ALL_KEPT, type Scenario } from './scenario.mts'

/** The commit whose package the old fleet has. */
const OLD = process.env.CHAOS_OLD_COMMIT ?? 'HEAD~1'

/** Processes of two versions on one table, replaced one after the other, there and back again. */
export const deploymentScenarios: readonly Scenario[] = [
  {
    name: 'deployment',
    title: 'processes of the commit before are replaced by this one under load, and rolled back: no request fails',
    databases: ['postgres', 'mysql'],
    seconds: 9,
    promised: ALL_KEPT,
    noErrors: true,
    async run(database, run) {
      await using stack = new AsyncDisposableStack()
      const owned = ownership(stack)
      run.say('packing both versions')
      const [before, now] = [owned(await packVersion(OLD)), owned(await packVersion(undefined))]
      return await onOneServer(database, { ...run, packageFolder: before.folder }, async ({ sites, wait, seconds, replace }) => {
        for (const { folder } of [now, before, now]) {
          for (const number of sites.keys()) await replace(number, folder)
          await wait(seconds / 3)
        }
      })
    }
  }
]
