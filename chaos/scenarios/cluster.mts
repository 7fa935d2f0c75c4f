import type { Daemon } from '../servers/daemon.mts'
import { connectAdmin, newName, tryPlainConnection } from '../servers/server.mts'
import type { Place } from './scenario.mts'

/** A server of a cluster of MariaDB or MySQL. */
interface Node {
  /** `host:port`. */
  readonly address: string
  readonly url: string
  readonly daemon: Daemon
}

/** Starts a proxy that leads to the first of the addresses, and to the others where it is gone. */
type StartProxy = (addresses: readonly string[], isReady: (port: number) => Promise<void>) => Promise<{ readonly port: number }>

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
  const urlAt = (address: string) => `mysql://root@${address}/${name}`
  const urlOn = (port: number) => urlAt(`127.0.0.1:${port}`)
  const urls: string[] = []
  for (const entry of entries) {
    const addresses = [entry, ...nodes.filter((other) => other !== entry)].map(({ address }) => address)
    if (startProxy === undefined) urls.push(urlAt(entry.address))
    else urls.push(urlOn((await startProxy(addresses, (port) => tryPlainConnection('mysql', urlOn(port)))).port))
  }
  const direct = () => nodes.filter(({ daemon }) => daemon.isRunning).map(({ address }) => urlAt(address))
  return { database: 'mysql', urls, name, direct }
}
