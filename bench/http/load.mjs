// The visitors: autocannon in a process of its own.
import autocannon from 'autocannon'
import { answer } from '../child.mjs'
import { quantile } from '../measure.mjs'
import { sessionCookies } from './cookies.mjs'

answer({
  async run({ port, connections, seconds, sessions }) {
    const cookies = sessionCookies(sessions)
    const requests = cookies.map((cookie) => ({ method: 'GET', path: '/', headers: { cookie } }))
    const share = Math.floor(requests.length / connections)
    const latencies = []
    let next = 0
    const start = performance.now()
    const result = await new Promise((resolve, reject) => {
      const instance = autocannon(
        {
          url: `http://127.0.0.1:${port}`,
          connections,
          duration: seconds,
          // Visitors of its own for each connection: with one list for all they would ask for the same session at the same time.
          setupClient: (client) => client.setRequests(requests.slice(share * next, share * ++next))
        },
        (error, outcome) => (error ? reject(error) : resolve(outcome))
      )
      // autocannon's own histogram has whole milliseconds.
      instance.on('response', (_client, _status, _bytes, responseMs) => latencies.push(responseMs))
    })
    const elapsedMs = performance.now() - start
    if (result.non2xx || result.errors) throw new Error(`${result.non2xx} refused and ${result.errors} failed requests`)
    latencies.sort((a, b) => a - b)
    return {
      operations: latencies.length,
      perSecond: (latencies.length / elapsedMs) * 1000,
      p50: quantile(latencies, 0.5),
      p99: quantile(latencies, 0.99)
    }
  }
})
