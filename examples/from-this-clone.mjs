// In a clone of this repository the recipes run without an install: what they import as knex-session-store is this clone.
//   npm run build && node --import ./examples/from-this-clone.mjs examples/express/app.mjs
import { registerHooks } from 'node:module'

const clone = new URL('../package.json', import.meta.url).href

registerHooks({
  resolve(specifier, context, next) {
    const isOurs = specifier === 'knex-session-store' || specifier.startsWith('knex-session-store/')
    return next(specifier, isOurs ? { ...context, parentURL: clone } : context)
  }
})
