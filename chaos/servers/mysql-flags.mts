/** Where a server listens. */
interface Listening {
  readonly port: number
  /** @default only 127.0.0.1 */
  readonly addresses?: readonly string[]
}

/** The first flags of each MariaDB and MySQL of the runner: where it has its files, where it listens, and for how many connections. */
export function whereItLives(folder: string, { port, addresses = ['127.0.0.1'] }: Listening): string[] {
  return [
    '--no-defaults',
    `--datadir=${folder}`,
    `--socket=${folder}/socket`,
    `--pid-file=${folder}/pid`,
    `--bind-address=${addresses.join(',')}`,
    `--port=${port}`,
    '--max-connections=200'
  ]
}
