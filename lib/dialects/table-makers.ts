/** The columns of other packages' tables, for the error message. Several packages have the same columns. */
const MAKERS: Readonly<Record<string, readonly string[]>> = {
  'connect-session-knex': ['sid', 'sess', 'expired'],
  'connect-pg-simple or better-sqlite3-session-store': ['sid', 'sess', 'expire'],
  'express-mysql-session': ['session_id', 'expires', 'data'],
  'connect-session-sequelize': ['sid', 'expires', 'data'],
  Ghost: ['session_id', 'user_id', 'session_data']
}

/** Returns the package that makes tables with these columns, as far as it is known. */
export function makerOf(columns: readonly string[]): string | undefined {
  return Object.entries(MAKERS).find(([, theirs]) => theirs.every((column) => columns.includes(column)))?.[0]
}
