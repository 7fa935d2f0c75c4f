/** What has to be ended when the runner ends, also by Ctrl-C: the latest first. */
const toDispose = new Set<AsyncDisposable>()

/** Disposes of it when the runner is interrupted. */
function own<Thing extends AsyncDisposable>(thing: Thing): Thing {
  toDispose.add(thing)
  return thing
}

/** Ends it now, once. */
async function dispose(thing: AsyncDisposable): Promise<void> {
  if (toDispose.delete(thing)) await thing[Symbol.asyncDispose]()
}

export async function disposeAll(): Promise<void> {
  for (const thing of [...toDispose].reverse()) await dispose(thing).catch(() => undefined)
}

/** For a block: what is given to the result is disposed of at the end of the stack, or when the runner is interrupted. */
export function ownership(stack: AsyncDisposableStack): <Thing extends AsyncDisposable>(thing: Thing) => Thing {
  return (thing) => {
    stack.defer(() => dispose(thing))
    return own(thing)
  }
}
