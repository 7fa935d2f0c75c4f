/** Types of elements, by the server's own numbers, which never change. */
const TEXT = 25
const INT4 = 23
const INT8 = 20

const HEAD_BYTES = 20
const NULL_LENGTH = -1
const TWO_TO_32 = 0x1_0000_0000
/** The most bytes of UTF-8 that one unit of a JavaScript string takes. */
const BYTES_PER_UNIT = 3

/** Written to and copied from at once; grows to the largest list there was, and no further than a few ordinary ones. */
let scratch = Buffer.allocUnsafeSlow(65_536)
const MAX_SCRATCH = 4_194_304

/**
 * A `text[]` in the server's binary form. As a parameter it is what many rows cost least in: nothing is escaped by the driver, and nothing
 * is searched for separators by the server.
 */
export function textArray(values: readonly (string | null)[]): Buffer {
  let most = HEAD_BYTES
  for (const value of values) most += 4 + (value === null ? 0 : value.length * BYTES_PER_UNIT)
  const bytes = room(most)
  writeHead(bytes, TEXT, values.length, 1)
  let at = HEAD_BYTES
  for (const value of values) {
    if (value === null) {
      bytes.writeInt32BE(NULL_LENGTH, at)
      at += 4
    } else {
      const length = bytes.write(value, at + 4)
      bytes.writeInt32BE(length, at)
      at += 4 + length
    }
  }
  return Buffer.from(bytes.subarray(0, at))
}

/** A `bigint[]` in the server's binary form, of whole numbers. */
export function int8Array(values: readonly number[]): Buffer {
  return numberArray(INT8, 8, values, (bytes, value, at) => {
    const high = Math.floor(value / TWO_TO_32)
    bytes.writeInt32BE(high, at)
    bytes.writeUInt32BE(value - high * TWO_TO_32, at + 4)
  })
}

/** An `integer[]` in the server's binary form. */
export function int4Array(values: readonly number[]): Buffer {
  return numberArray(INT4, 4, values, (bytes, value, at) => bytes.writeInt32BE(value, at))
}

function numberArray(
  type: number,
  width: number,
  values: readonly number[],
  write: (bytes: Buffer, value: number, at: number) => void
): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + (4 + width) * values.length)
  writeHead(bytes, type, values.length, 0)
  let at = HEAD_BYTES
  for (const value of values) {
    bytes.writeInt32BE(width, at)
    write(bytes, value, at + 4)
    at += 4 + width
  }
  return bytes
}

/** One dimension, whether there may be nulls, the type of the elements, how many there are, and that the first is number 1. */
function writeHead(bytes: Buffer, type: number, length: number, mayHaveNulls: 0 | 1): void {
  bytes.writeInt32BE(1, 0)
  bytes.writeInt32BE(mayHaveNulls, 4)
  bytes.writeInt32BE(type, 8)
  bytes.writeInt32BE(length, 12)
  bytes.writeInt32BE(1, 16)
}

function room(bytes: number): Buffer {
  if (bytes <= scratch.length) return scratch
  const larger = Buffer.allocUnsafeSlow(bytes)
  if (bytes <= MAX_SCRATCH) scratch = larger
  return larger
}
