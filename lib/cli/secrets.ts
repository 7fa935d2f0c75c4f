/** Printed in place of a secret. */
const HIDDEN = '…'
/** Names of properties and parameters that hold a secret, as parts of regular expressions. */
const PASSWORD = '(?:pass(?:word|wd|phrase)?|pwd)'
const OTHER_SECRET = '(?:secret|token|(?:api|access|private|secret)[-_]?key)'
const VALUE = '(?:"(?:\\\\.|[^"\\\\])*"|\'(?:\\\\.|[^\'\\\\])*\'|[^\\s&;,]+)'

/**
 * Patterns for secrets in messages of Knex, drivers and servers. The first group of each is the text before the secret, which stays. A
 * password may contain any character, so the patterns hide too much rather than too little.
 */
const PATTERNS: readonly RegExp[] = [
  // From `://` to the last @ of the line. `file:` URLs are left out: they may contain an @, but never a password.
  /((?<!\bfile):\/\/)(?![\s,;…])[^\n]*(?=@)/g,
  new RegExp(`(${PASSWORD}["'\`]?(?:\\s*=\\s*|\\s*:\\s*|%3D))${VALUE}`, 'gi'),
  // In messages, an explanation often follows these words and a colon (`token: not found`). So after a colon only a quoted value is hidden.
  new RegExp(`(${OTHER_SECRET}["'\`]?(?:\\s*=\\s*|:\\s*(?=["'])|%3D))${VALUE}`, 'gi')
]

/** Properties of a connection object whose text is a secret: a password, a token, or the private key for TLS. */
const SECRET_PROPERTY = new RegExp(`${PASSWORD}$|${OTHER_SECRET}|^key$`, 'i')

/** How many levels of nested objects a driver reads in a connection object. */
const MAX_DEPTH = 3

/** Hides secrets in messages: the known secrets of the connection, and every text that looks like a secret. */
export class Secrets {
  private readonly known = new Set<string>()

  /** Remembers the secrets in a URL, or in a connection object in the form that Knex accepts. */
  learn(connection: unknown, depth = 0): void {
    if (typeof connection === 'string') this.learnUrl(connection)
    if (typeof connection !== 'object' || connection === null || depth > MAX_DEPTH) return
    for (const [name, value] of Object.entries(connection)) {
      if (typeof value === 'string' && SECRET_PROPERTY.test(name)) this.add(value)
      else if (typeof value === 'string' ? value.includes('://') : isPlain(value)) this.learn(value, depth + 1)
    }
  }

  /** Returns the text with every secret replaced. */
  hide(text: string): string {
    // The longest first, because a short secret may be the beginning of a longer one.
    const known = [...this.known].sort((a, b) => b.length - a.length).map((secret) => new RegExp(asWord(secret), 'gu'))
    const withoutKnown = known.reduce((hidden, secret) => hidden.replace(secret, HIDDEN), text)
    return PATTERNS.reduce((hidden, pattern) => hidden.replace(pattern, `$1${HIDDEN}`), withoutKnown)
  }

  private learnUrl(url: string): void {
    const [, credentials = ''] = /:\/\/(.*)@/s.exec(url) ?? []
    const [, password = ''] = /:(.*)$/s.exec(credentials) ?? []
    this.add(password)
    const parameters = new URLSearchParams(url.slice(url.indexOf('?') + 1))
    for (const [name, value] of parameters) if (SECRET_PROPERTY.test(name)) this.add(value)
  }

  /** A message may quote a secret as it is, percent-encoded, escaped as in JSON, or only one of its lines. So each form is remembered. */
  private add(secret: string): void {
    for (const text of [secret, decoded(secret), ...secret.split('\n')]) {
      for (const form of [text, encoded(text), JSON.stringify(text).slice(1, -1)]) if (form.trim() !== '') this.known.add(form)
    }
  }
}

/** Returns the pattern for a secret. It matches whole words only: the password `app` is not hidden in `application`. */
function asWord(secret: string): string {
  const begin = /^[\p{L}\p{N}]/u.test(secret) ? '(?<![\\p{L}\\p{N}])' : ''
  const end = /[\p{L}\p{N}]$/u.test(secret) ? '(?![\\p{L}\\p{N}])' : ''
  return `${begin}${secret.replace(/[$()*+./?[\\\]^{|}]/g, '\\$&')}${end}`
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function encoded(text: string): string {
  return text.isWellFormed() ? encodeURIComponent(text) : text
}

/** False for an instance of a class, such as a socket, because it may contain itself. */
function isPlain(value: unknown): boolean {
  return typeof value === 'object' && value !== null && [Object.prototype, null].includes(Object.getPrototypeOf(value))
}
