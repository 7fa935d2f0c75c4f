import { encrypted, json } from 'knex-session-store'

// Of your own application: a secret from its configuration.
const sealed = encrypted({ keys: ['gk3Zt7Qe1vXw-only-for-this-demo-9Lr2Bn6Hs'], acceptPlain: true })

/**
 * The codec behind the switch. It reads both kinds of rows, and says of a row of the other kind that it is to be written anew when it is read. So
 * the switch signs nobody out. An application that has encryption on needs no more than `codec: encrypted({ keys })`.
 */
export function switchedEncryption() {
  const state = { isOn: false }
  const codec = {
    encode: (data, storedId) => (state.isOn ? sealed : json).encode(data, storedId),
    decode: (text, storedId) => sealed.decode(text, storedId),
    comparable: (data) => sealed.comparable(data),
    rewrite: (text) => (text.startsWith('{') === state.isOn ? 'at-once' : 'not')
  }
  return { state, codec }
}
