import { contractOverDatabases } from './contract-over-databases'

contractOverDatabases('the contract on KnexSessionStore as it is by default')
