/** What was sent to a database server, by the first word of each statement. */
export class StatementCounter {
  readonly verbs = new Map<string, number>()

  add(statement: string): void {
    const [first = '?'] = statement
      .trim()
      .toUpperCase()
      .split(/[^A-Z]/, 1)
    const [inside] = first === 'WITH' ? (/\b(INSERT|UPDATE|DELETE|MERGE)\b/i.exec(statement) ?? []) : []
    const verb = (inside ?? first).toUpperCase()
    this.verbs.set(verb, (this.verbs.get(verb) ?? 0) + 1)
  }

  /** All statements, and those of them that change something. */
  get counts(): { statements: number; writes: number } {
    const sum = (counts: Iterable<number>) => [...counts].reduce((total, count) => total + count, 0)
    const writes = [...this.verbs].filter(([verb]) => WRITES.has(verb)).map(([, count]) => count)
    return { statements: sum(this.verbs.values()), writes: sum(writes) }
  }

  reset(): void {
    this.verbs.clear()
  }
}

const WRITES = new Set(['DEL', 'DELETE', 'EXPIRE', 'INSERT', 'MERGE', 'PEXPIRE', 'REPLACE', 'SET', 'SETEX', 'UPDATE'])

/** Reads what one client sends to its server, in whatever pieces it comes. */
export type Listener = (chunk: Buffer) => void

/** Takes whole messages from the front of what has come: `next` gives the length of the first, or undefined if it is not all there. */
function messages(next: (buffer: Buffer) => number | undefined, take: (message: Buffer) => void): Listener {
  let waiting: Buffer = Buffer.alloc(0)
  return (chunk) => {
    waiting = Buffer.concat([waiting, chunk])
    for (let length = next(waiting); length !== undefined && length <= waiting.length; length = next(waiting)) {
      take(waiting.subarray(0, length))
      waiting = waiting.subarray(length)
    }
  }
}

/** The frontend messages of PostgreSQL: Query, and Execute with the text of its Parse. */
export function listenToPostgres(counter: StatementCounter): Listener {
  let started = false
  const prepared = new Map<string, string>()
  let bound = ''
  return messages(
    (buffer) => {
      // The first message of a connection has no type.
      const header = started ? 1 : 0
      return buffer.length < header + 4 ? undefined : header + buffer.readUInt32BE(header)
    },
    (message) => {
      if (!started) {
        started = true
        return
      }
      const [first = '', second = ''] = message.subarray(5).toString('utf8').split('\0', 2)
      const type = String.fromCharCode(message[0] ?? 0)
      if (type === 'Q') counter.add(first)
      else if (type === 'P') prepared.set(first, second)
      else if (type === 'B') bound = prepared.get(second) ?? ''
      else if (type === 'E') counter.add(bound)
    }
  )
}

/** The command packets of MySQL and MariaDB. */
export function listenToMysql(counter: StatementCounter): Listener {
  const query = 0x03
  const executePrepared = 0x17
  return messages(
    (buffer) => (buffer.length < 4 ? undefined : 4 + buffer.readUIntLE(0, 3)),
    (message) => {
      const [sequence, command] = [message[3], message[4]]
      if (sequence !== 0) return
      if (command === query) counter.add(message.subarray(5, 500).toString('utf8'))
      else if (command === executePrepared) counter.add('EXECUTE')
    }
  )
}

/** The commands of Redis, each an array of bulk strings. */
export function listenToRedis(counter: StatementCounter): Listener {
  return messages(lengthOfRedisCommand, (message) => {
    counter.add(message.toString('latin1').split('\r\n', 3)[2] ?? '?')
  })
}

function lengthOfRedisCommand(buffer: Buffer): number | undefined {
  let at = 0
  const line = () => {
    const end = buffer.indexOf('\r\n', at)
    if (end < 0) return undefined
    const text = buffer.toString('latin1', at + 1, end)
    at = end + 2
    return Number(text)
  }
  const parts = line()
  if (parts === undefined) return undefined
  for (let part = 0; part < parts; part++) {
    const length = line()
    if (length === undefined) return undefined
    at += length + 2
  }
  return at
}
