declare module 'connect-pg-simple' {
  export default function connectPgSimple(session: unknown): new (options: object) => import('express-session').Store
}
