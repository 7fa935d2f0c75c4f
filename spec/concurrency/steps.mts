/** What a request, or the world around it, does next. Plain data: it is printed when a run fails, and sent to child processes. */
export type Step =
  | { readonly does: 'create'; readonly process: number; readonly request: number; readonly session: number; readonly maxAgeMs: MaxAge }
  | { readonly does: 'load'; readonly process: number; readonly request: number; readonly session: number; readonly as: SessionForm }
  | { readonly does: 'change'; readonly request: number; readonly key: string; readonly value: unknown }
  | { readonly does: 'delete'; readonly request: number; readonly key: string }
  | { readonly does: 'set maxAge'; readonly request: number; readonly maxAgeMs: MaxAge }
  | { readonly does: 'save'; readonly request: number }
  | { readonly does: 'touch'; readonly request: number }
  | { readonly does: 'destroy'; readonly process: number; readonly session: number }
  | { readonly does: 'log out'; readonly process: number; readonly user: string }
  | { readonly does: 'prune'; readonly process: number }
  | { readonly does: 'pass'; readonly ms: number }

/** The owner of a session is the value of its key `user`. */
export const ownerOf = (session: object): string | undefined => (session as { user?: string }).user

/**
 * Lets a moment pass before the sessions of an owner are ended: between processes, the clock of the database tells what came before, and that
 * clock no spec can move.
 */
export async function beforeLogOut(step: Step): Promise<void> {
  if (step.does === 'log out') await new Promise((resolve) => setTimeout(resolve, 10))
}

/** `'request'`: what express-session makes of a session that was loaded. `'data'`: the object that `get` gave, as it is. */
export type SessionForm = 'request' | 'data'

/** A cookie's `originalMaxAge`. Null: a browser session, which lives for the store's ttl. */
export type MaxAge = number | null

/** What can be seen of a step from outside. */
export interface Outcome {
  /** Of `load`: the session's keys and its cookie's life; null for no session. */
  readonly loaded?: Readonly<Record<string, unknown>> | null
  /** Events of the store, as text, in order. */
  readonly events: readonly string[]
  /** The code of the error that the step ended with. */
  readonly error?: string
}

/** The life of a session whose cookie does not say. */
export const TTL_MS = 3_600_000

/** The process in which a step is done: a request stays where it began, which `homes` keeps. */
export function homeOf(step: Step, homes: Map<number, number>): number {
  if ('process' in step) {
    if ('request' in step) homes.set(step.request, step.process)
    return step.process
  }
  return 'request' in step ? (homes.get(step.request) ?? 0) : 0
}
