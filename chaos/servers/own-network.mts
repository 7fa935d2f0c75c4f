import { execFile } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { readlink } from 'node:fs/promises'
import { promisify } from 'node:util'
import { find } from '../../spec/support/find-program.ts'
import { Daemon, type Workplace } from './daemon.mts'

/** The addresses of all these networks. The range is set aside for measurements (RFC 2544), so no other host is there. */
export const OWN_NETWORKS = '198.18.0.0/15'

const PROGRAMS = ['ip', 'tc', 'nsenter', 'unshare', 'setpriv']
/** A queue with room for nothing: every packet is dropped, and the sender is not told. */
const DROPS_ALL = ['root', 'pfifo', 'limit', '0']

/** A pair of virtual interfaces: one end on this machine, the other end in the network namespace. */
interface Cable {
  /** The interface on this machine. */
  readonly near: string
  readonly nearAddress: string
  /** The interface in the namespace. */
  readonly far: string
  readonly farAddress: string
}

/**
 * A network namespace for one member of a cluster. Two cables lead from it to this machine: one for the applications, and one for the other
 * members, which can be cut. The kernel removes the namespace and the cables with the last process in it, so nothing stays behind.
 */
export class OwnNetwork implements AsyncDisposable {
  readonly #workplace: Workplace
  /** A process that does nothing, so that the namespace is there before the server is. */
  readonly #holder: Daemon
  readonly #toApplications: Cable
  readonly #toMembers: Cable

  private constructor(workplace: Workplace, holder: Daemon, number: number) {
    this.#workplace = workplace
    this.#holder = holder
    this.#toApplications = cable('app', 18, number)
    this.#toMembers = cable('mem', 19, number)
  }

  static async make(workplace: Workplace): Promise<OwnNetwork> {
    if (process.getuid?.() !== 0) throw new Error('no network of its own for a member: it takes root')
    for (const program of PROGRAMS) {
      if (!(await find(program))) throw new Error(`no ${program}: apt-get install iproute2 util-linux`)
    }
    const holder = new Daemon('network', ['unshare', '--net', 'sleep', 'infinity'], { folder: workplace.folder, account: {} })
    const network = new OwnNetwork(workplace, holder, randomInt(1, 16_384))
    try {
      const own = await readlink('/proc/self/ns/net')
      await holder.start(async () => {
        if ((await readlink(`/proc/${holder.pid}/ns/net`)) === own) throw new Error('no namespace yet')
      })
      await network.#inside('ip', 'link', 'set', 'lo', 'up')
      for (const each of network.#cables) await network.#lay(each)
      return network
    } catch (error) {
      await network[Symbol.asyncDispose]()
      const takes = 'it takes a machine or container that lets root make one (CAP_NET_ADMIN, CAP_SYS_ADMIN)'
      throw new Error(`no network of its own for a member: ${takes}`, { cause: error })
    }
  }

  /** Where applications find the member. */
  get address(): string {
    return this.#toApplications.farAddress
  }

  /** Where the other members find it. */
  get memberAddress(): string {
    return this.#toMembers.farAddress
  }

  /** Where it finds the other members. */
  get othersAddress(): string {
    return this.#toMembers.nearAddress
  }

  /** A program that runs in this network, as the account of the workplace. */
  daemon(name: string, command: readonly string[]): Daemon {
    const { folder, account } = this.#workplace
    const asAccount = ['setpriv', `--reuid=${account.uid}`, `--regid=${account.gid}`, '--clear-groups']
    return new Daemon(name, [...this.#enter, ...asAccount, ...command], { folder, account: {} })
  }

  /** From now on nothing passes between the member and the others, in either direction. Applications still reach it. */
  async cut(): Promise<void> {
    await run('tc', 'qdisc', 'replace', 'dev', this.#toMembers.near, ...DROPS_ALL)
    await this.#inside('tc', 'qdisc', 'replace', 'dev', this.#toMembers.far, ...DROPS_ALL)
  }

  async mend(): Promise<void> {
    await run('tc', 'qdisc', 'del', 'dev', this.#toMembers.near, 'root')
    await this.#inside('tc', 'qdisc', 'del', 'dev', this.#toMembers.far, 'root')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#holder[Symbol.asyncDispose]()
  }

  get #cables(): readonly Cable[] {
    return [this.#toApplications, this.#toMembers]
  }

  get #enter(): readonly string[] {
    return ['nsenter', `--net=/proc/${this.#holder.pid}/ns/net`]
  }

  async #lay({ near, nearAddress, far, farAddress }: Cable): Promise<void> {
    await run('ip', 'link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', String(this.#holder.pid))
    await run('ip', 'address', 'add', `${nearAddress}/30`, 'dev', near)
    await run('ip', 'link', 'set', near, 'up')
    await this.#inside('ip', 'address', 'add', `${farAddress}/30`, 'dev', far)
    await this.#inside('ip', 'link', 'set', far, 'up')
  }

  async #inside(...command: string[]): Promise<void> {
    await run(...(this.#enter as [string, string]), ...command)
  }
}

/** The kernel takes names of up to 15 characters. */
function cable(kind: 'app' | 'mem', block: number, number: number): Cable {
  const start = number * 4
  const address = (host: number) => `198.${block}.${(start >> 8) & 255}.${(start & 255) + host}`
  return { near: `chaos-${kind}-${number.toString(16)}`, nearAddress: address(1), far: `to-${kind}`, farAddress: address(2) }
}

async function run(program: string, ...args: string[]): Promise<void> {
  await promisify(execFile)(program, args)
}
