// Prints what vitest's JSON reports say, all together, as one closing line: node .ci/count.mjs REPORT…
import { readFileSync } from 'node:fs'

const counts = { passed: 0, failed: 0, skipped: 0 }
for (const path of process.argv.slice(2)) {
  const report = JSON.parse(readFileSync(path, 'utf8'))
  counts.passed += report.numPassedTests
  counts.skipped += report.numPendingTests + report.numTodoTests
  // A file that does not load, or whose hook fails, has no failed spec and is a failure all the same.
  const failedFiles = report.testResults.filter(({ status, assertionResults }) => {
    return status === 'failed' && !assertionResults.some((result) => result.status === 'failed')
  })
  counts.failed += report.numFailedTests + failedFiles.length
}
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`)
if (counts.passed + counts.failed === 0) process.exitCode = 1
