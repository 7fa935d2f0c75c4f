import { join, relative, resolve } from 'node:path'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'

const ROOT = resolve(__dirname, '..')
const ENTRIES = ['lib/index.ts', 'lib/testing/index.ts', 'lib/unit-of-work/index.ts']

const { config } = ts.readConfigFile(join(ROOT, 'tsconfig.json'), ts.sys.readFile)
const { options } = ts.parseJsonConfigFileContent({ ...config, files: [], include: [] }, ts.sys, ROOT)
const program = ts.createProgram(
  ENTRIES.map((entry) => join(ROOT, entry)),
  options
)
const checker = program.getTypeChecker()

/** Every export, and every member that a user sees of it, with whether it has a doc comment. */
function facesOf(entry: string): { readonly name: string; readonly isDocumented: boolean }[] {
  const source = program.getSourceFile(join(ROOT, entry))
  const module = source && checker.getSymbolAtLocation(source)
  if (module === undefined) throw new Error(`${entry} is no module`)
  return checker.getExportsOfModule(module).flatMap((exported) => {
    const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported
    const members = (symbol.declarations ?? []).filter(isOurs).flatMap(membersOf)
    return [
      { name: exported.name, isDocumented: isDocumented(symbol.declarations ?? []) },
      ...members.map(({ name, declarations }) => ({ name: `${exported.name}.${name}`, isDocumented: isDocumented(declarations) }))
    ]
  })
}

function membersOf(declaration: ts.Declaration): { name: string; declarations: ts.Declaration[] }[] {
  if (!ts.isClassDeclaration(declaration) && !ts.isInterfaceDeclaration(declaration)) return []
  const byName = new Map<string, ts.Declaration[]>()
  for (const member of declaration.members as ts.NodeArray<ts.ClassElement | ts.TypeElement>) {
    const name = member.name && ts.isIdentifier(member.name) ? member.name.text : ''
    if (name === '' || isHidden(member)) continue
    byName.set(name, [...(byName.get(name) ?? []), member])
  }
  return [...byName].map(([name, declarations]) => ({ name, declarations }))
}

function isHidden(member: ts.ClassElement | ts.TypeElement): boolean {
  const hidden = ts.ModifierFlags.Private | ts.ModifierFlags.Protected
  return (ts.getCombinedModifierFlags(member) & hidden) !== 0 || ts.getJSDocTags(member).some(({ tagName }) => tagName.text === 'internal')
}

function isDocumented(declarations: readonly ts.Declaration[]): boolean {
  return declarations.some((declaration) => {
    const commented = ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration
    return ts.getJSDocCommentsAndTags(commented).some((doc) => ts.isJSDoc(doc) && doc.comment !== undefined)
  })
}

function isOurs(declaration: ts.Declaration): boolean {
  return relative(join(ROOT, 'lib'), declaration.getSourceFile().fileName).startsWith('..') === false
}

/** Whether a user can call or read the export: it is a value, and no error, which only the store makes. */
function isForUse(exported: ts.Symbol): boolean {
  const isTypeOnly = (exported.declarations ?? []).some(
    (one) => ts.isExportSpecifier(one) && (one.isTypeOnly || one.parent.parent.isTypeOnly)
  )
  const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported
  return (symbol.flags & ts.SymbolFlags.Value) !== 0 && !isTypeOnly && !exported.name.endsWith('Error')
}

function withoutExample(entry: string): string[] {
  const source = program.getSourceFile(join(ROOT, entry)) as ts.SourceFile
  const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(source) as ts.Symbol).filter(isForUse)
  expect(exported.length).toBeGreaterThan(0)
  return exported.flatMap((one) => {
    const symbol = one.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(one) : one
    return symbol.getJsDocTags(checker).some(({ name }) => name === 'example') ? [] : [one.name]
  })
}

/** What says enough by its name, in every class of error. */
const SELF_EXPLANATORY = /\.code$/

describe.each(ENTRIES)('%s', (entry) => {
  const faces = facesOf(entry)

  it('has exports', () => {
    expect(faces.length).toBeGreaterThan(5)
  })

  it('has a doc comment for every export and every member of it', () => {
    const bare = faces.filter(({ name, isDocumented }) => !isDocumented && !SELF_EXPLANATORY.test(name)).map(({ name }) => name)
    expect(bare).toEqual([])
  })

  it('has an example for every export that a user calls', () => {
    expect(withoutExample(entry)).toEqual([])
  })
})
