/**
 * How long to wait for what has to come. It costs nothing where all is well. By themselves vi.waitFor, vi.waitUntil and expect.poll give up after
 * one second, which a machine with much to do lets pass now and then.
 */
export const PATIENT = { timeout: 20_000 } as const
