import type { Requests } from './requests.mts'

/**
 * Requests that all hold the session at once and each count to `rounds` in a key of its own, saving each time. Gives the codes of the errors
 * that saves ended with.
 */
export async function requestsAtOnce(
  requests: Requests,
  sessionId: string,
  name: string,
  count: number,
  rounds: number
): Promise<string[]> {
  const errors: string[] = []
  const one = async (request: number) => {
    await requests.attempt({ does: 'load', process: 0, request, session: 0, as: 'request' }, [sessionId])
    for (let value = 1; value <= rounds; value++) {
      await requests.attempt({ does: 'change', request, key: `${name}-${request}`, value }, [sessionId])
      const { error } = await requests.attempt({ does: 'save', request }, [sessionId])
      if (error !== undefined) errors.push(error)
    }
  }
  await Promise.all(Array.from({ length: count }, (_, request) => one(request)))
  return errors
}
