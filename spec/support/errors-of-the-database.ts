/** A server's address as a driver takes it in parts. */
export function addressOf(url: string): { readonly host: string; readonly port: number; readonly database: string } {
  const { hostname, port, pathname } = new URL(url)
  return { host: hostname, port: Number(port), database: pathname.slice(1) }
}
