import assert from 'node:assert/strict'
import { smoke } from './site.mjs'

await smoke(['app.mjs'], async ({ visitor, output }) => {
  const ada = visitor()
  assert.equal((await ada.visit('/')).text, 'Visit 1\n')
  assert.equal((await ada.visit('/')).text, 'Visit 2\n')

  const { text } = await ada.visit('/metrics')
  for (const line of ['session_store_operations_total{operation="get"} 1', 'session_store_operations_total{operation="set"} 2']) {
    assert.ok(text.split('\n').includes(line), `no ${line} in\n${text}`)
  }
  assert.ok(text.includes('session_store_operation_errors_total{operation="set"} 0'))

  const spans = output.flatMap((line) => /^ +name: '(session \w+)'/.exec(line)?.[1] ?? [])
  assert.deepEqual(spans, ['session set', 'session get', 'session set'])
})
