/** Groups the records by their number. The number of the most records comes first. */
export function byFrequency<T>(records: readonly T[], numberOf: (record: T) => number): [number, T[]][] {
  const groups = new Map<number, T[]>()
  for (const record of records) {
    const number = numberOf(record)
    const group = groups.get(number)
    if (group === undefined) groups.set(number, [record])
    else group.push(record)
  }
  return [...groups].sort(([, a], [, b]) => b.length - a.length)
}

/** Without this, the application's sql_select_limit would apply, and rows would be missing. */
export function limit(rows: readonly unknown[]): string {
  return `LIMIT ${rows.length}`
}

export function list(length: number, item: string): string {
  return length === 1 ? item : `${`${item}, `.repeat(length - 1)}${item}`
}
