import express, { type Request } from 'express'
import session from 'express-session'
import type { KnexSessionStore } from '../../lib'
import { type ServedApp, serve, Visitor } from '../support/http'

/** What a request does, one after the other. */
export type Act =
  | { readonly set: Readonly<Record<string, unknown>> }
  | { readonly unset: string }
  | { readonly maxAge: number | null }
  /** Stays in the middle of its work until the spec lets it go on. */
  | { readonly waitFor: string }
  | 'save'
  | 'reload'
  | 'regenerate'
  | 'destroy'
  | 'view'

interface Gate {
  readonly reached: PromiseWithResolvers<void>
  readonly open: PromiseWithResolvers<void>
}

/** A real Express application whose requests do what they are told: so that a spec can have two of them at work on one session. */
export class ScriptedSite implements AsyncDisposable {
  readonly #gates = new Map<string, Gate>()
  readonly #served: Promise<ServedApp>
  #url = ''

  private constructor(store: KnexSessionStore, options: Partial<session.SessionOptions>) {
    const app = express()
    app.use(session({ store, secret: 'a secret', resave: false, saveUninitialized: false, ...options }))
    app.use(express.json())
    app.post('/', async (request, response) => {
      const answers: unknown[] = []
      for (const act of request.body as Act[]) answers.push(await this.#act(request, act))
      response.json(answers)
    })
    this.#served = serve(app)
  }

  static async open(store: KnexSessionStore, options: Partial<session.SessionOptions> = {}): Promise<ScriptedSite> {
    const site = new ScriptedSite(store, options)
    site.#url = (await site.#served).url
    return site
  }

  visitor(): Visitor {
    return new Visitor(this.#url)
  }

  /** The same visitor, with the same cookie, at this site: another tab, or another process behind the same name. */
  sameVisitor(visitor: Visitor): Visitor {
    const same = new Visitor(this.#url)
    for (const [name, value] of visitor.cookies) same.cookies.set(name, value)
    return same
  }

  /** Resolves when a request waits there. */
  async reached(gate: string): Promise<void> {
    await this.#gate(gate).reached.promise
  }

  release(gate: string): void {
    this.#gate(gate).open.resolve()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#served)[Symbol.asyncDispose]()
  }

  #gate(name: string): Gate {
    let gate = this.#gates.get(name)
    if (gate === undefined) {
      gate = { reached: Promise.withResolvers<void>(), open: Promise.withResolvers<void>() }
      this.#gates.set(name, gate)
    }
    return gate
  }

  async #act(request: Request, act: Act): Promise<unknown> {
    const { session } = request
    if (act === 'view') {
      const { cookie: _, ...keys } = session as object as Record<string, unknown>
      return keys
    }
    if (typeof act === 'string') {
      return new Promise((resolve) =>
        session[act]((error?: { code?: string; message: string }) => resolve(error ? (error.code ?? error.message) : 'done'))
      )
    }
    if ('set' in act) Object.assign(session, act.set)
    else if ('unset' in act) delete (session as object as Record<string, unknown>)[act.unset]
    else if ('maxAge' in act) session.cookie.maxAge = act.maxAge as number
    else {
      const gate = this.#gate(act.waitFor)
      gate.reached.resolve()
      await gate.open.promise
    }
    return undefined
  }
}

/** Has the request done, and gives what its acts gave. */
export async function visit(visitor: Visitor, ...acts: Act[]): Promise<unknown[]> {
  const response = await visitor.post('/', acts)
  if (!response.ok) throw new Error(`the site answered ${response.status}: ${await response.text()}`)
  return (await response.json()) as unknown[]
}
