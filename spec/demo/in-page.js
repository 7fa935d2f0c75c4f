// Run in the page, before its own scripts.
globalThis.lowContrasts = function lowContrasts() {
  const parse = (color) => {
    const [red, green, blue, alpha = 1] = color.match(/[\d.]+/g).map(Number)
    return { channels: [red, green, blue], alpha }
  }
  const luminance = ({ channels }) => {
    const [red, green, blue] = channels.map((value) => (value <= 10.31475 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
  }
  const backgroundOf = (element) => {
    const color = parse(getComputedStyle(element).backgroundColor)
    return color.alpha === 1 ? color : backgroundOf(element.parentElement)
  }
  const found = []
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  for (let text = texts.nextNode(); text !== null; text = texts.nextNode()) {
    const element = text.parentElement
    if (text.nodeValue.trim() === '' || !element.checkVisibility()) continue
    const { color, fontSize, fontWeight } = getComputedStyle(element)
    const [darker, lighter] = [luminance(parse(color)), luminance(backgroundOf(element))].sort((a, b) => a - b)
    const ratio = (lighter + 0.05) / (darker + 0.05)
    const size = Number.parseFloat(fontSize)
    const isLarge = size >= 24 || (size >= 18.66 && Number(fontWeight) >= 700)
    if (ratio < (isLarge ? 3 : 4.5)) found.push(`${ratio.toFixed(2)} ${text.nodeValue.trim()}`)
  }
  return found
}

globalThis.focused = function focused() {
  const element = document.activeElement
  const name = element.ariaLabel ?? element.labels?.[0]?.textContent ?? element.textContent
  const { outlineStyle, outlineWidth } = getComputedStyle(element)
  return {
    name: name.trim(),
    device: element.closest('.device')?.ariaLabel,
    isVisible: outlineStyle !== 'none' && Number.parseFloat(outlineWidth) >= 2
  }
}
