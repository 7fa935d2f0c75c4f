import { Secrets } from './secrets'
import type { Output } from './system'

/**
 * Control characters, which would change the terminal, and other characters without a visible shape. Names and messages come from the user,
 * the application and the database, so any of these characters may be in them.
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

/**
 * Prints the result on standard output, as text or as JSON, and errors on standard error. This is the one place that hides passwords and
 * escapes control characters.
 */
export class Screen {
  private readonly secrets = new Secrets()

  constructor(
    private readonly stdout: Output,
    readonly stderr: Output,
    readonly isJson: boolean
  ) {}

  /** Hides the secrets of this connection object or URL in everything that is printed from now on. */
  learnSecrets(connection: unknown): void {
    this.secrets.learn(connection)
  }

  /** Prints the result. With --json this is `json` as one line, else the lines of text. */
  result(json: object, ...lines: readonly string[]): void {
    const hide = (_: string, value: unknown) => (typeof value === 'string' ? this.secrets.hide(value) : value)
    this.print(this.isJson ? [JSON.stringify(json, hide)] : lines.map((line) => this.secrets.hide(line)))
  }

  /** Prints text in which nothing may be hidden: SQL statements, which have to be run as they are. */
  verbatim(json: object, ...lines: readonly string[]): void {
    this.print(this.isJson ? [JSON.stringify(json)] : lines)
  }

  /** Prints an error. With --json the error is the result, so it goes to standard output. */
  error(message: string, code: string): void {
    if (this.isJson) this.result({ ok: false, error: { code, message } })
    else this.stderr.write(`knex-session-store: ${printable(this.secrets.hide(message))}\n`)
  }

  private print(lines: readonly string[]): void {
    this.stdout.write(`${lines.map(printable).join('\n')}\n`)
  }
}

/** Replaces unprintable characters by the escapes of JSON, so that a line of JSON keeps its meaning. */
function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) =>
    // A character beyond U+FFFF has two UTF-16 units, and JSON escapes each of them.
    Array.from({ length: character.length }, (_, unit) => `\\u${character.charCodeAt(unit).toString(16).padStart(4, '0')}`).join('')
  )
}

/** True if the text has no unprintable character. */
export function isPrintable(text: string): boolean {
  return printable(text) === text
}

/** Returns the rows as lines of text, with the columns aligned. */
export function inColumns(rows: readonly (readonly string[])[], indent = ''): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) => `${indent}${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd())
}

/** Returns the text for a time in milliseconds since the epoch: UTC, to the second. */
export function moment(ms: number): string {
  const date = new Date(ms)
  return Number.isNaN(date.getTime()) ? 'never' : `${date.toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

/** Returns the count with its noun: `1 session`, `2 sessions`. */
export function counted(count: number, noun: string): string {
  return `${withCommas(count)} ${noun}${count === 1 ? '' : 's'}`
}

/** Returns the number with commas: `1,234,567`. */
export function withCommas(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',')
}
