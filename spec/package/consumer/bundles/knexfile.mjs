// What reads the path of a folder that is not in the bundle.
import { migrationsDirectory, SessionStoreError } from 'knex-session-store'

try {
  console.log({ directory: migrationsDirectory })
} catch (error) {
  console.log(error instanceof SessionStoreError, error.code, error.message)
}
