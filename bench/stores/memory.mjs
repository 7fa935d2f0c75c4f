import session from 'express-session'

// express-session's own store: no database, but it encodes and decodes as the others do. Nothing kept outside the process can be faster.
export const stores = [{ name: 'memory', server: 'none', open: async () => ({ store: new session.MemoryStore(), close: async () => {} }) }]
