// A process of its own that holds a lock of an SQLite file until it is told to let go; started by file-lock.ts.
import Database from 'better-sqlite3'

const [file, ...statements] = process.argv.slice(2)
const database = new Database(file)
for (const sql of statements) database.exec(sql)
process.on('message', () => {
  database.exec('COMMIT')
  database.close()
  process.send('released', () => process.disconnect())
})
process.send('held')
