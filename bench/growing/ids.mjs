import { sessionId } from '../session.mjs'

const idBytes = 16

/** The session ids of so many rows for `makeBench`. Ten million texts would need a gigabyte, their bytes need 160 MB. */
export function idsOf(rows) {
  const bytes = Buffer.allocUnsafeSlow(rows * idBytes)
  for (let index = 0; index < rows; index++) bytes.write(sessionId(index), index * idBytes, 'hex')
  return { length: rows, at: (index) => bytes.toString('hex', index * idBytes, (index + 1) * idBytes) }
}
