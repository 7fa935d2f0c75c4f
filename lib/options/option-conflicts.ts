import { InvalidOptionError } from '../errors'
import type { StoredIdForm } from '../record/stored-id'

/** Options that have no effect without the option `owner`. */
export function requireOwner(options: {
  readonly owner?: unknown
  readonly details?: unknown
  readonly maxSessionsPerOwner?: unknown
}): void {
  const needing = (['details', 'maxSessionsPerOwner'] as const).find((name) => options[name] !== undefined)
  if (needing === undefined || options.owner !== undefined) return
  throw new InvalidOptionError('owner', `a function of the session where ${needing} is given`, undefined)
}

/** A store of plain ids has nothing to move. */
export function refuseUpgradeOfPlain(options: { readonly storedId: StoredIdForm; readonly upgradePlainIds: boolean }): void {
  if (options.storedId !== 'plain' || !options.upgradePlainIds) return
  const advice = "; it moves plain ids to their hashes, so give it in place of storedId: 'plain', not with it"
  throw new InvalidOptionError('upgradePlainIds', "false or left out with storedId: 'plain'", true, advice)
}
