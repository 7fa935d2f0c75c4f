// koa-session stores sessions without a `cookie`. The store needs one, because the cookie holds the expiry.
export const forKoa = (store) => ({
  async get(id) {
    const { cookie, ...session } = (await store.get(id)) ?? {}
    return cookie && session
  },
  set(id, session, maxAge) {
    return store.set(id, { ...session, cookie: { maxAge: typeof maxAge === 'number' ? maxAge : null } })
  },
  destroy: (id) => store.destroy(id)
})
