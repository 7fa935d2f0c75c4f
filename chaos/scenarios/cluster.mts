import type { Daemon } from '../servers/daemon.mts'
import { connectAdmin, newName, tryPlainConnection } from '../servers/server.mts'
import type { Place } from './scenario.mts'

/** A server of a cluster of MariaDB or MySQL. */
interface Node {
  readonly port: number
  readonly url: string
  readonly daemon: Daemon
}

/** Starts a proxy that leads to the first of the ports, and to the others where it is gone. */
type StartProxy = (ports: readonly number[], isReady: (port: number) => Promise<void>) => Promise<{ readonly port: number }>

/** A new database on the nodes, and a way to it by each of the entries: through a proxy of its own, or straight. */
export async function placeOnCluster(
  nodes: readonly [Node, ...Node[]],
  entries: readonly Node[],
  startProxy: StartProxy | undefined
): Promise<Place> {
  const name = newName()
  {
    await using admin = await connectAdmin('mysql', nodes[0].url)
    await admin.query(`CREATE DATABASE ${name}`)
  }
  const urlAt = (port: number) => `mysql://root@127.0.0.1:${port}/${name}`
  const urls: string[] = []
  for (const entry of entries) {
    const ports = [entry, ...nodes.filter((other) => other !== entry)].map(({ port }) => port)
    const way = startProxy === undefined ? entry : await startProxy(ports, (port) => tryPlainConnection('mysql', urlAt(port)))
    urls.push(urlAt(way.port))
  }
  const direct = () => nodes.filter(({ daemon }) => daemon.isRunning).map(({ port }) => urlAt(port))
  return { database: 'mysql', urls, name, direct }
}
