import { Secrets } from './secrets'
import type { Output } from './system'

/** Control characters, which a terminal obeys, and others without a shape of their own: a text may come from anywhere. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

/**
 * Prints results on the standard output, as text or as JSON, and everything else on the standard error. It is the one place that makes text
 * harmless: no password passes, and no character that a terminal would obey.
 */
export class Screen {
  private readonly secrets = new Secrets()

  constructor(
    private readonly stdout: Output,
    readonly stderr: Output,
    readonly isJson: boolean
  ) {}

  /** Hides the secrets of this connection, or URL, from now on. */
  learnSecrets(connection: unknown): void {
    this.secrets.learn(connection)
  }

  /** Prints the result: `json` as one line of JSON if that was asked for, else the lines of text. */
  result(json: object, ...lines: readonly string[]): void {
    const hide = (_: string, value: unknown) => (typeof value === 'string' ? this.secrets.hide(value) : value)
    this.print(this.isJson ? [JSON.stringify(json, hide)] : lines.map((line) => this.secrets.hide(line)))
  }

  /** The same for text that has to stay as it is. */
  verbatim(json: object, ...lines: readonly string[]): void {
    this.print(this.isJson ? [JSON.stringify(json)] : lines)
  }

  /** Prints an error, which with JSON is the result. */
  error(message: string, code: string): void {
    if (this.isJson) this.result({ ok: false, error: { code, message } })
    else this.stderr.write(`knex-session-store: ${printable(this.secrets.hide(message))}\n`)
  }

  private print(lines: readonly string[]): void {
    this.stdout.write(`${lines.map(printable).join('\n')}\n`)
  }
}

/** Shows such characters as JSON writes them, so that JSON keeps its meaning. */
function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) =>
    // An astral character has two units.
    Array.from({ length: character.length }, (_, unit) => `\\u${character.charCodeAt(unit).toString(16).padStart(4, '0')}`).join('')
  )
}

/** True if the text is printed as it is. */
export function isPrintable(text: string): boolean {
  return printable(text) === text
}

/** Two columns of text, in line. */
export function inColumns(rows: readonly (readonly string[])[], indent = ''): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) => `${indent}${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd())
}

/** A moment in milliseconds since the epoch, as it is printed: UTC, to the second. */
export function moment(ms: number): string {
  const date = new Date(ms)
  return Number.isNaN(date.getTime()) ? 'never' : `${date.toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

/** `1 session`, `2 sessions`. */
export function counted(count: number, noun: string): string {
  return `${withCommas(count)} ${noun}${count === 1 ? '' : 's'}`
}

/** 1234567 as `1,234,567`. */
export function withCommas(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',')
}
