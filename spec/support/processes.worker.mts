import { setTimeout as sleep } from 'node:timers/promises'
import type { Worker } from './processes.ts'

export type Task =
  | { does: 'returns its pid' | 'throws' | 'prints and exits' | 'leaves a timer running' }
  | { does: 'notes when it was ready and when it went'; afterMs: number }

export default (async (task, go) => {
  switch (task.does) {
    case 'returns its pid':
      return process.pid
    case 'throws':
      throw new Error('on purpose')
    case 'prints and exits':
      process.stderr.write('to stderr\n')
      process.stdout.write('to stdout\n')
      return process.exit(3)
    case 'leaves a timer running':
      setInterval(() => undefined, 1000)
      return 1
    case 'notes when it was ready and when it went': {
      await sleep(task.afterMs)
      const ready = Date.now()
      await go()
      return { ready, went: Date.now() }
    }
  }
}) satisfies Worker<Task>
