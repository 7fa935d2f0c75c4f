import assert from 'node:assert/strict'
import { smoke } from './site.mjs'

await smoke(['app.mjs'], async ({ visitor }) => {
  const ada = visitor()
  assert.equal((await ada.visit('/')).text, 'Nobody is signed in.\n')
  assert.equal((await ada.visit('/register', { name: 'Ada' })).text, 'Hello Ada, visit number 1.\n')
  assert.equal((await ada.visit('/')).text, 'Hello Ada, visit number 2.\n')
  assert.equal((await visitor().visit('/')).text, 'Nobody is signed in.\n')

  assert.equal((await ada.visit('/register', { name: 'a'.repeat(300) })).status, 400)
  assert.equal((await ada.visit('/favicon.ico')).status, 204)
  assert.equal((await ada.visit('/')).text, 'Hello Ada, visit number 3.\n')
  assert.equal((await ada.visit('/logout', {})).text, 'Nobody is signed in.\n')
})
