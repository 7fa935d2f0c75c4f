// node --import of the processes here: TypeScript has `./a.mts` imported as `./a.mjs`, and Node looks for exactly that file.
import { existsSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'

registerHooks({
  resolve(specifier, context, next) {
    if (specifier.startsWith('.') && specifier.endsWith('.mjs')) {
      const source = new URL(specifier.replace(/\.mjs$/, '.mts'), context.parentURL)
      if (existsSync(fileURLToPath(source))) return next(source.href, context)
    }
    return next(specifier, context)
  }
})
