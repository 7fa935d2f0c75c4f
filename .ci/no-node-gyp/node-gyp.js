#!/usr/bin/env node
console.log(`not compiled, for nothing that is installed here needs it: ${process.cwd()}`)
