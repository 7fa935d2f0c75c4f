/** What is hidden is shown as this. */
const HIDDEN = '…'
/** The names of properties and parameters that hold a secret. */
const PASSWORD = '(?:pass(?:word|wd|phrase)?|pwd)'
const OTHER_SECRET = '(?:secret|token|(?:api|access|private|secret)[-_]?key)'
const VALUE = '(?:"(?:\\\\.|[^"\\\\])*"|\'(?:\\\\.|[^\'\\\\])*\'|[^\\s&;,]+)'

/** What looks like a secret in the text of others, with the part before it. It rather hides too much: a password may hold any character. */
const PATTERNS: readonly RegExp[] = [
  // To the last @ of the line. A URL of a module has no password, but it may have an @.
  /((?<!\bfile):\/\/)(?![\s,;…])[^\n]*(?=@)/g,
  new RegExp(`(${PASSWORD}["'\`]?(?:\\s*=\\s*|\\s*:\\s*|%3D))${VALUE}`, 'gi'),
  // After a colon these words often begin an explanation.
  new RegExp(`(${OTHER_SECRET}["'\`]?(?:\\s*=\\s*|:\\s*(?=["'])|%3D))${VALUE}`, 'gi')
]

/** A property of a connection whose text is a secret: a password, or a key of TLS. */
const SECRET_PROPERTY = new RegExp(`${PASSWORD}$|${OTHER_SECRET}|^key$`, 'i')

/** How deep objects are in each other that a driver reads. */
const MAX_DEPTH = 3

/** Hides passwords in messages: those of the connection, and what looks like one. */
export class Secrets {
  private readonly known = new Set<string>()

  /** Takes the secrets out of a connection as Knex takes it, or of a URL. */
  learn(connection: unknown, depth = 0): void {
    if (typeof connection === 'string') this.learnUrl(connection)
    if (typeof connection !== 'object' || connection === null || depth > MAX_DEPTH) return
    for (const [name, value] of Object.entries(connection)) {
      if (typeof value === 'string' && SECRET_PROPERTY.test(name)) this.add(value)
      else if (typeof value === 'string' ? value.includes('://') : isPlain(value)) this.learn(value, depth + 1)
    }
  }

  /** Returns the text without them. */
  hide(text: string): string {
    // The longest first: one may begin like another.
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

  /** A message may quote a secret as it is, as a part of a URL, in JSON, or the first of its lines. */
  private add(secret: string): void {
    for (const text of [secret, decoded(secret), ...secret.split('\n')]) {
      for (const form of [text, encoded(text), JSON.stringify(text).slice(1, -1)]) if (form.trim() !== '') this.known.add(form)
    }
  }
}

/** The pattern of a secret. A password that is a word is no part of another word. */
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

/** The object of a class, such as a socket, may lead to itself. */
function isPlain(value: unknown): boolean {
  return typeof value === 'object' && value !== null && [Object.prototype, null].includes(Object.getPrototypeOf(value))
}
