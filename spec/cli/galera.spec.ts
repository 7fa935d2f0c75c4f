import { existsSync } from 'node:fs'
import { join } from 'node:path'
import knexFactory, { type Knex } from 'knex'
import mysql from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createSessionsTable } from '../../lib'
import { find } from '../support/find-program'
import { freePort, type LocalServer, startLocalServer } from '../support/local-server'
import { Application } from './command'

const PROVIDER = '/usr/lib/galera/libgalera_smm.so'
const isOurs = (process.env.TEST_DATABASES ?? 'mysql').includes('mysql')
const whyNot = !isOurs
  ? 'TEST_DATABASES leaves mysql out'
  : existsSync(PROVIDER)
    ? ''
    : 'no Galera: apt-get install mariadb-server galera-4'
if (whyNot) console.warn(`skipped: the command line on a Galera cluster (${whyNot})`)

/** The first node of a cluster, which is a whole cluster by itself. */
async function startNode(): Promise<LocalServer> {
  const [server, install, group] = await Promise.all([find('mariadbd'), find('mariadb-install-db'), freePort()])
  if (server === undefined || install === undefined) throw new Error('Galera without MariaDB: apt-get install mariadb-server')
  return startLocalServer({
    name: 'galera',
    accounts: ['mysql', 'node', 'nobody'],
    initialise: (folder, run) =>
      run(install, ['--no-defaults', `--datadir=${folder}`, '--auth-root-authentication-method=normal', '--skip-test-db']),
    command: (folder, port) => [
      ...[server, '--no-defaults', `--datadir=${folder}`, `--socket=${join(folder, 'socket')}`],
      ...[
        '--bind-address=127.0.0.1',
        `--port=${port}`,
        '--binlog-format=ROW',
        '--innodb-autoinc-lock-mode=2',
        '--innodb-log-file-size=16M'
      ],
      ...['--wsrep-on=ON', `--wsrep-provider=${PROVIDER}`, '--wsrep-cluster-address=gcomm://', `--wsrep-node-address=127.0.0.1:${group}`],
      `--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:${group};gcache.size=16M`
    ],
    async connect(port) {
      const url = `mysql://root@127.0.0.1:${port}/mysql`
      const connection = await mysql.createConnection({ uri: url, connectTimeout: 2000 })
      try {
        // Before the node is part of the cluster, it refuses this.
        await connection.query('CREATE DATABASE IF NOT EXISTS app')
      } finally {
        connection.destroy()
      }
      return url.replace(/mysql$/, 'app')
    }
  })
}

describe.skipIf(whyNot !== '')('status on a Galera cluster', () => {
  let node: LocalServer
  let knex: Knex
  let application: Application

  beforeAll(async () => {
    node = await startNode()
    knex = knexFactory({ client: 'mysql2', connection: node.url })
    await createSessionsTable(knex)
    application = await Application.create()
  }, 90_000)

  afterAll(async () => {
    await application?.[Symbol.asyncDispose]()
    await knex?.destroy()
    await node?.stop()
  })

  const problems = async (syncWait: number): Promise<unknown> => {
    await knex.raw(`SET GLOBAL wsrep_sync_wait = ${syncWait}`)
    const { stdout } = await application.run('status', '--url', node.url, '--json')
    return JSON.parse(stdout).problems
  }

  it.each([0, 1, 2, 4])('says that wsrep_sync_wait = %i is not enough, and what to set', async (syncWait) => {
    expect(await problems(syncWait)).toEqual([
      {
        what: expect.stringContaining(`this is a Galera cluster, and wsrep_sync_wait is ${syncWait} here`),
        mend: expect.stringContaining('set wsrep_sync_wait = 7')
      }
    ])
  })

  it.each([3, 7, 15])('says nothing where wsrep_sync_wait = %i', async (syncWait) => {
    expect(await problems(syncWait)).toEqual([])
  })
})
