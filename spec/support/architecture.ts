import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, sep } from 'node:path'
import ts from 'typescript'

/** A file of lib/: its path there, with slashes, and its text. */
export interface SourceFile {
  readonly path: string
  readonly text: string
}

/** One line that breaks a rule, as it is shown: `path:line: what`. */
export type Violation = string

export type Rule = (files: readonly SourceFile[]) => Violation[]

/**
 * The rooms of lib/, from the one that everybody enters to those that stand on nothing. A file imports from its own room and from lower floors only;
 * rooms on one floor do not know each other, but for the ground floor, where a cycle is all that is forbidden.
 */
const FLOORS: readonly (readonly string[])[] = [
  ['testing'],
  ['unit-of-work'],
  ['cli'],
  ['index'],
  ['store', 'moving'],
  ['assemble'],
  ['sessions', 'schema'],
  ['batching'],
  ['table'],
  ['options'],
  ['dialects'],
  ['knex'],
  ['record', 'observe', 'calls', 'events', 'errors', 'database-errors', 'describe-value', 'unknown-option', 'runtime']
]
const GROUND_FLOOR = FLOORS.length - 1

const DATABASE_NAMES = ['postgres', 'sqlite', 'mysql', 'mariadb', 'cockroach', 'mssql', 'sqlserver', 'oracle', 'redshift']
/** Short names, which count as whole words only: `pgClient` is one, `upgrade` is none. */
const DATABASE_WORDS = ['pg', 'crdb', 'tedious']

const TIMERS = ['setTimeout', 'setInterval', 'setImmediate', 'timers', 'node:timers', 'timers/promises', 'node:timers/promises']
const MAX_LINES = 300

export function readLib(root: string): SourceFile[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => ({ path: path.split(sep).join('/'), text: readFileSync(join(root, path), 'utf8') }))
    .sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** No file reaches itself through its imports, those of types included: they are read in a circle just the same. */
export const noImportCycle: Rule = (files) => {
  const imports = new Map(files.map((file) => [file.path, importsOf(file, files).map(({ target }) => target)]))
  const finished = new Set<string>()
  const violations: Violation[] = []
  const visit = (path: string, trail: readonly string[]) => {
    const start = trail.indexOf(path)
    if (start >= 0) violations.push([...trail.slice(start), path].join(' → '))
    if (start >= 0 || finished.has(path)) return
    for (const target of imports.get(path) ?? []) visit(target, [...trail, path])
    finished.add(path)
  }
  for (const { path } of files) visit(path, [])
  return violations
}

/** Imports lead down the floors. */
export const importsLeadDown: Rule = (files) =>
  files.flatMap((file) => {
    const room = roomOf(file.path)
    if (floorOf(room) < 0) return [`${file.path}: ${room} is a room that the architecture spec does not know: give it a floor`]
    return importsOf(file, files)
      .filter(({ target }) => !mayEnter(room, roomOf(target)))
      .map(({ target, line }) => `${file.path}:${line}: ${room} imports ${target}`)
  })

/** What differs between databases is in dialects/, so nothing else can name one. Comments may. */
export const noDatabaseName: Rule = (files) =>
  files.filter(({ path }) => !/^dialects\//.test(path)).flatMap((file) => tokensOf(file, ({ text }) => namesDatabase(text)))

/** Timers are started through natives.ts, which keeps them real under fake timers. */
export const noTimer: Rule = (files) =>
  files
    .filter(({ path }) => path !== 'runtime/natives.ts')
    .flatMap((file) =>
      tokensOf(
        file,
        ({ text, node }) =>
          TIMERS.includes(text) ||
          (text === 'timeout' && ts.isPropertyAccessExpression(node.parent) && nameOf(node.parent) === 'AbortSignal')
      )
    )

/** Callers tell errors apart by class and code, so there is none without: those of errors.ts are used. */
export const noBareError: Rule = (files) =>
  files.flatMap((file) =>
    nodesOf(file).flatMap(({ node, line }) =>
      ts.isNewExpression(node) &&
      ts.isIdentifier(node.expression) &&
      ['Error', 'TypeError', 'RangeError', 'SyntaxError'].includes(node.expression.text)
        ? [`${file.path}:${line}: new ${node.expression.text}(…)`]
        : []
    )
  )

/** A library does not end the process, does not read its environment and does not print. */
export const noProcessNorConsole: Rule = (files) =>
  files.flatMap((file) => [
    ...tokensOf(file, ({ text, node }) => text === 'console' && ts.isIdentifier(node)),
    ...nodesOf(file).flatMap(({ node, line }) => {
      const member = memberOfProcess(node)
      return member && ['exit', 'env', 'exitCode', 'abort', 'kill'].includes(member) ? [`${file.path}:${line}: process.${member}`] : []
    })
  ])

/** A file is read whole. */
export const noLongFile: Rule = (files) =>
  files.flatMap(({ path, text }) => {
    const lines = text.replace(/\n$/, '').split('\n').length
    return lines > MAX_LINES ? [`${path}: ${lines} lines, more than ${MAX_LINES}`] : []
  })

/** A place for everything that has no place fills up. */
export const noFileWithoutSubject: Rule = (files) =>
  files.flatMap(({ path }) =>
    /(^|\/)(utils?|helpers?|common|types|interfaces?|misc)(\.ts|\/)/.test(path) ? [`${path}: named after no subject`] : []
  )

interface Import {
  readonly target: string
  readonly line: number
}

interface Located<T> {
  readonly node: T
  readonly line: number
}

function importsOf(file: SourceFile, files: readonly SourceFile[]): Import[] {
  const paths = new Set(files.map(({ path }) => path))
  return nodesOf(file).flatMap(({ node, line }) => {
    const specifier = specifierOf(node)
    if (specifier === undefined || !specifier.startsWith('.')) return []
    const base = normalize(join(dirname(file.path), specifier))
      .split(sep)
      .join('/')
      .replace(/\.[jt]s$/, '')
      .replace(/\/$/, '')
    const target = [`${base}.ts`, base === '.' ? 'index.ts' : `${base}/index.ts`].find((candidate) => paths.has(candidate))
    return target === undefined ? [] : [{ target, line }]
  })
}

/** What an import, an export … from, an import type, import() or require() names. */
function specifierOf(node: ts.Node): string | undefined {
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return textOf(node.moduleSpecifier)
  if (ts.isExternalModuleReference(node)) return textOf(node.expression)
  if (ts.isImportTypeNode(node)) return ts.isLiteralTypeNode(node.argument) ? textOf(node.argument.literal) : undefined
  if (!ts.isCallExpression(node)) return undefined
  const isRequire = ts.isIdentifier(node.expression) && node.expression.text === 'require'
  return isRequire || node.expression.kind === ts.SyntaxKind.ImportKeyword ? textOf(node.arguments[0]) : undefined
}

function textOf(node: ts.Node | undefined): string | undefined {
  return node && ts.isStringLiteralLike(node) ? node.text : undefined
}

function mayEnter(from: string, to: string): boolean {
  if (from === to) return true
  const [above, below] = [floorOf(from), floorOf(to)]
  return above < below || (above === GROUND_FLOOR && below === GROUND_FLOOR)
}

function floorOf(room: string): number {
  return FLOORS.findIndex((rooms) => rooms.includes(room))
}

function roomOf(path: string): string {
  return path.replace(/\.ts$/, '').split('/')[0] ?? path
}

function namesDatabase(text: string): boolean {
  const lower = text.toLowerCase()
  const words = text.split(/[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])/).map((word) => word.toLowerCase())
  return DATABASE_NAMES.some((name) => lower.includes(name)) || DATABASE_WORDS.some((word) => words.includes(word))
}

function nameOf(node: ts.PropertyAccessExpression): string | undefined {
  return ts.isIdentifier(node.expression) ? node.expression.text : undefined
}

/** `exit` of `process.exit`, `process['exit']` and of an import from node:process. */
function memberOfProcess(node: ts.Node): string | undefined {
  if (ts.isPropertyAccessExpression(node)) return nameOf(node) === 'process' ? node.name.text : undefined
  if (ts.isElementAccessExpression(node)) {
    return ts.isIdentifier(node.expression) && node.expression.text === 'process' ? textOf(node.argumentExpression) : undefined
  }
  if (!ts.isImportSpecifier(node)) return undefined
  const from = textOf(node.parent.parent.parent.moduleSpecifier)
  return from === 'node:process' || from === 'process' ? (node.propertyName ?? node.name).text : undefined
}

interface Token {
  readonly text: string
  readonly node: ts.Node
}

/** Names and literal texts of the code that are wanted. Comments are none, doc comments neither. */
function tokensOf(file: SourceFile, isWanted: (token: Token) => boolean): Violation[] {
  return nodesOf(file).flatMap(({ node, line }) => {
    const isText =
      ts.isIdentifier(node) ||
      ts.isPrivateIdentifier(node) ||
      ts.isLiteralExpression(node) ||
      ts.isTemplateMiddleOrTemplateTail(node) ||
      ts.isTemplateHead(node)
    return isText && isWanted({ text: node.text, node }) ? [`${file.path}:${line}: ${node.text.trim().slice(0, 80)}`] : []
  })
}

const parsed = new WeakMap<SourceFile, Located<ts.Node>[]>()

function nodesOf(file: SourceFile): Located<ts.Node>[] {
  const known = parsed.get(file)
  if (known) return known
  const source = ts.createSourceFile(file.path, file.text, ts.ScriptTarget.Latest, true)
  const nodes: Located<ts.Node>[] = []
  const visit = (node: ts.Node) => {
    nodes.push({ node, line: source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1 })
    ts.forEachChild(node, visit)
  }
  visit(source)
  parsed.set(file, nodes)
  return nodes
}
