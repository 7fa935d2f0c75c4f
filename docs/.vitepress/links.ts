export const REPOSITORY = 'https://github.com/knex-session-store/knex-session-store'

/** On the site, what is outside of docs/ is on the code host. */
export function linkOfSite(href: string): string {
  const outside = /^\.\.\/(?!\.\.)(.+)$/.exec(href)
  if (outside === null) return href
  const [, path = ''] = outside
  const kind = /\.\w+(#.*)?$/.test(path) ? 'blob' : 'tree'
  return `${REPOSITORY}/${kind}/main/${path}`
}
