import { deploymentScenarios } from './deployment.mts'
import { diskFullScenarios } from './disk-full.mts'
import { failoverScenarios } from './failover.mts'
import { galeraScenarios } from './galera.mts'
import { groupReplicationScenarios } from './group-replication.mts'
import { oneServerScenarios } from './one-server.mts'
import { patroniScenarios } from './patroni.mts'
import type { Scenario } from './scenario.mts'

export const scenarios: readonly Scenario[] = [
  ...oneServerScenarios,
  ...diskFullScenarios,
  ...failoverScenarios,
  ...galeraScenarios,
  ...groupReplicationScenarios,
  ...patroniScenarios,
  ...deploymentScenarios
]
