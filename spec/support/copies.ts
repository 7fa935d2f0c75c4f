import { cp, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

/** The folder of this project. */
const ROOT = resolve(__dirname, '../..')

/** As npm installs two versions side by side. */
export async function twoCopies(): Promise<AsyncDisposable & { readonly folders: string[] }> {
  const parent = await mkdtemp(join(tmpdir(), 'knex-session-store-copies-'))
  const folders = ['one', 'other'].map((name) => join(parent, name, 'node_modules/knex-session-store'))
  for (const folder of folders) {
    await mkdir(folder, { recursive: true })
    for (const part of ['dist', 'package.json']) await cp(join(ROOT, part), join(folder, part), { recursive: true })
    for (const peer of ['knex', 'express-session']) await symlink(join(ROOT, 'node_modules', peer), join(folder, '..', peer), 'junction')
  }
  return { folders, [Symbol.asyncDispose]: () => rm(parent, { recursive: true, force: true }) }
}
