import { createRequire } from 'node:module'
import { join } from 'node:path'

/** Returns the file of a package, as a module in one of the folders would find it; undefined if none does. */
export function findPackage(name: string, folders: readonly string[]): string | undefined {
  for (const folder of folders) {
    try {
      return createRequire(join(folder, 'module.js')).resolve(name)
    } catch {
      // The next folder may have it.
    }
  }
  return undefined
}

/** Loads the file of a package. */
export function requireFile(file: string): unknown {
  return createRequire(file)(file)
}
