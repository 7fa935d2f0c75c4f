import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'

// The application visits itself, prints what it gets, and ends.
const printed = execFileSync(process.execPath, ['app.mjs'], { encoding: 'utf8' }).trim().split('\n')
assert.equal(printed.at(-1), '/ [{"name":"ada"}]')
console.log('ok')
