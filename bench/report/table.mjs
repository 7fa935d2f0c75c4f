/** Columns of text: the first to the left, the others to the right. `rows` are arrays of strings. */
export function table(head, rows) {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column].length)))
  const line = (row) =>
    row
      .map((text, column) => (column ? text.padStart(widths[column]) : text.padEnd(widths[column])))
      .join('  ')
      .trimEnd()
  return [line(head), widths.map((width) => '─'.repeat(width)).join('  '), ...rows.map(line)].join('\n')
}

export function count(value) {
  return value >= 100 ? Math.round(value).toLocaleString('en-US') : value.toPrecision(3)
}

export function ms(value) {
  return value >= 10 ? value.toFixed(1) : value.toFixed(value >= 1 ? 2 : 3)
}

export function times(spread) {
  return spread ? `${spread.median.toFixed(2)}×` : '–'
}

export function micros(value) {
  return value === null ? '–' : value >= 10 ? String(Math.round(value)) : value.toFixed(1)
}
