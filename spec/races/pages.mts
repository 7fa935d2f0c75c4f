import { setTimeout as sleep } from 'node:timers/promises'

/** One request to a page of the site, whichever framework serves it. */
export interface Visit {
  readonly session: Record<string, unknown> & { cookie: { maxAge?: number | undefined; originalMaxAge?: number | null } }
  readonly sid: string
  readonly query: URLSearchParams
  destroy(): Promise<void>
}

/** The pages. What they return is sent as JSON, and `{ redirect }` as a redirect. */
export const pages: Record<string, (visit: Visit) => unknown> = {
  '/login': ({ session, sid, query }) => {
    session.user = query.get('name')
    const maxAge = query.get('maxAge')
    if (maxAge) {
      session.cookie.maxAge = Number(maxAge)
      session.cookie.originalMaxAge = Number(maxAge)
    }
    return { sid }
  },

  '/login-and-redirect': ({ session, query }) => {
    session.user = query.get('name')
    return { redirect: '/me' }
  },

  '/visit': ({ session }) => {
    session.visited = true
  },

  '/me': ({ session }) => ({ user: session.user ?? null }),

  '/keys': ({ session }) => Object.keys(session),

  '/logout': (visit) => visit.destroy(),

  '/change': async ({ session, query }) => {
    await passGate(query)
    session[query.get('key') ?? 'key'] = true
  },

  '/read': ({ query }) => passGate(query)
}

class Gate {
  readonly arrived = Promise.withResolvers<void>()
  readonly opened = Promise.withResolvers<void>()
}

const gates = new Map<string, Gate>()

function gateNamed(name: string): Gate {
  const gate = gates.get(name) ?? new Gate()
  gates.set(name, gate)
  return gate
}

/** What a page does between loading the session and saving it: it waits until it is let go, or it works for a while. */
async function passGate(query: URLSearchParams): Promise<void> {
  const name = query.get('gate')
  const workMs = query.get('workMs')
  if (workMs) await sleep(Number(workMs))
  if (!name) return
  const gate = gateNamed(name)
  gate.arrived.resolve()
  await gate.opened.promise
  gates.delete(name)
}

/** Resolves when a request stands at the gate: its session is loaded. */
export function arrivedAt(name: string): Promise<void> {
  return gateNamed(name).arrived.promise
}

export function openGate(name: string): void {
  gateNamed(name).opened.resolve()
}
