declare module 'connect-pg-simple' {
  export default function connectPgSimple(session: unknown): new (options: object) => import('express-session').Store
}

declare module 'better-sqlite3-session-store' {
  export default function sqliteStore(session: unknown): new (options: object) => import('express-session').Store
}

declare module 'express-mysql-session' {
  type MysqlStore = import('express-session').Store & { onReady(): Promise<void>; close(): Promise<void> }
  export default function mysqlStore(session: unknown): new (options: object) => MysqlStore
}
