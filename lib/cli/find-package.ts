import { createRequire } from 'node:module'
import { join } from 'node:path'

/** Returns the file that a module in one of the folders would load for this package. Undefined if no folder has the package. */
export function findPackage(name: string, folders: readonly string[]): string | undefined {
  for (const folder of folders) {
    try {
      return createRequire(join(folder, 'module.js')).resolve(name)
    } catch {
      // The next folder may have the package.
    }
  }
  return undefined
}

/** Loads the file of a package with `require`. */
export function requireFile(file: string): unknown {
  return createRequire(file)(file)
}
