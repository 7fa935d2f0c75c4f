import { readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ratios } from './summary.mjs'

const operations = ['get', 'touch', 'set']
const reference = 'connect-pg-simple'

const bars = [
  { store: 'ours-pg', server: 'pg', label: 'knex-session-store', kind: 'ours' },
  { store: 'connect-redis', server: 'redis', label: 'connect-redis (in memory)', kind: 'redis' },
  { store: 'connect-pg-simple', server: 'pg', label: 'connect-pg-simple', kind: 'peer' },
  { store: 'connect-session-knex-pg', server: 'pg', label: 'connect-session-knex', kind: 'peer' }
]

const themes = {
  light: { ground: '#ffffff', text: '#1f2328', soft: '#59636e', line: '#d1d9e0', ours: '#0969da', redis: '#b35900', peer: '#8c959f' },
  dark: { ground: '#0d1117', text: '#f0f6fc', soft: '#9198a1', line: '#3d444d', ours: '#4493f8', redis: '#d18616', peer: '#656c76' }
}

const width = 830
const left = 292
const right = width - 76
const rowHeight = 26
const groupGap = 22
const top = 92

/** Writes `<prefix>-light.svg` and `<prefix>-dark.svg` and answers their names; nothing if the run has not measured what is drawn. */
export function drawCharts(result, folder, prefix) {
  const groups = operations.flatMap((op) => {
    const cell = result.micro.find((one) => one.op === op && one.callers === 64 && one.payload === '2KB' && one.rows === 10_000)
    return cell?.stores[reference] ? [{ op, bars: readBars(cell) }] : []
  })
  if (groups.length === 0) return []
  return Object.entries(themes).map(([name, theme]) => {
    const file = `${prefix}-${name}.svg`
    writeFileSync(`${folder}${file}`, draw(groups, subtitle(result), theme))
    return file
  })
}

function readBars(cell) {
  return bars.flatMap((bar) => {
    if (!cell.stores[bar.store]) return []
    const ratio = bar.store === reference ? { median: 1, min: 1, max: 1 } : ratios(cell.stores, bar.store, bar.server)[reference]
    return [{ ...bar, ratio }]
  })
}

function subtitle({ machine, node, servers }) {
  const server = servers.pg.replace(/ \(.*/, '')
  return `${server} (durable), 64 concurrent callers, 2 KB sessions · Node ${node.replace(/^v(\d+).*/, '$1')}, ${machine.cores} cores ${machine.cpu}`
}

function draw(groups, note, theme) {
  const most = Math.max(...groups.flatMap((group) => group.bars.map((bar) => bar.ratio.max)))
  const scale = (ratio) => left + (ratio / most) * (right - left)
  const parts = []
  let y = top
  for (const group of groups) {
    parts.push(text(24, y + 18, group.op, { size: 17, fill: theme.text, weight: 600 }))
    for (const { label, kind, ratio } of group.bars) {
      const end = scale(ratio.median)
      const weight = kind === 'ours' ? 600 : 400
      parts.push(
        text(left - 10, y + 18, label, { size: 14, fill: kind === 'ours' ? theme.text : theme.soft, anchor: 'end', weight }),
        `<rect x="${left}" y="${y + 3}" width="${round(end - left)}" height="20" rx="3" fill="${theme[kind]}"/>`,
        `<path d="M${round(scale(ratio.min))} ${y + 13}H${round(scale(ratio.max))}" stroke="${theme.text}" stroke-opacity=".55"/>`,
        text(Math.max(end, scale(ratio.max)) + 8, y + 18, `${ratio.median.toFixed(1)}×`, { size: 14, fill: theme.text, weight })
      )
      y += rowHeight
    }
    y += groupGap
  }
  const one = round(scale(1))
  const guide = `<path d="M${one} ${top - 6}V${y - groupGap + 6}" stroke="${theme.soft}" stroke-dasharray="3 3"/>`
  const height = y + 4
  const title = `Operations a second, ${reference} = 1`
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" font-family="-apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif">
<title>${title}: ${spoken(groups)}</title>
<rect x=".5" y=".5" width="${width - 1}" height="${height - 1}" rx="6" fill="${theme.ground}" stroke="${theme.line}"/>
${text(24, 38, title, { size: 20, fill: theme.text, weight: 600 })}
${text(24, 64, note, { size: 13, fill: theme.soft })}
${parts.join('\n')}
${guide}
</svg>
`
}

function spoken(groups) {
  return groups
    .map(({ op, bars }) => `${op} ${bars.map(({ label, ratio }) => `${escapeText(label)} ${ratio.median.toFixed(1)}`).join(', ')}`)
    .join('; ')
}

function text(x, y, content, { size, fill, weight = 400, anchor = 'start' }) {
  return `<text x="${round(x)}" y="${y}" font-size="${size}" font-weight="${weight}" text-anchor="${anchor}" fill="${fill}">${escapeText(content)}</text>`
}

function escapeText(content) {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}

function round(value) {
  return Math.round(value * 10) / 10
}

// node bench/report/chart.mjs bench/results/reference.json: draws the chart of docs/benchmarks.md again.
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = process.argv[2]
  console.log(drawCharts(JSON.parse(readFileSync(file, 'utf8')), `${dirname(file)}/`, 'chart').join('\n'))
}
