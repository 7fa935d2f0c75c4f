/**
 * Binds methods of an object to it, because clients take methods off their store: `const { get, set } = store`, `promisify(store.get)`.
 */
export function bindMethods<Name extends string>(object: Record<Name, unknown>, names: readonly Name[]): void {
  const methods = object as Record<Name, () => unknown>
  for (const name of names) methods[name] = methods[name].bind(object)
}
