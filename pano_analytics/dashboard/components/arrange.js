// The layout of the gallery: columns, rows and positions of tiles, in CSS pixels.

export const GAP = 10
export const CAPTION = 30
export const HEADING = 46

/**
 * Return the number of columns, the width of a tile and the height of a row for a gallery of
 * this width.
 * @param {number} width
 */
export function shapeOf(width) {
  const wanted = width < 640 ? 150 : 218
  const columns = Math.max(2, Math.floor((width + GAP) / (wanted + GAP)))
  const tile = (width - GAP * (columns - 1)) / columns
  return { columns, tile, row: Math.round(tile * 9 / 16) + CAPTION + GAP }
}

/**
 * Set the top and height of each day; return the total height.
 * @param {import("./types").Day[]} days
 * @param {import("./types").Shape} shape
 */
export function stack(days, shape) {
  let top = 0
  for (const day of days) {
    day.top = top
    day.height = HEADING + Math.ceil(day.tiles.length / shape.columns) * shape.row
    top += day.height + GAP
  }
  return top
}

/**
 * Return the day, the index and the top of the tile with this key, or null.
 * @param {import("./types").Day[]} days
 * @param {import("./types").Shape} shape
 * @param {string} key
 */
export function placeOf(days, shape, key) {
  for (const day of days) {
    const index = day.tiles.findIndex((moment) => moment.key === key)
    if (index >= 0) return { day, index, top: day.top + HEADING + Math.floor(index / shape.columns) * shape.row }
  }
  return null
}

/**
 * Return the range of indices of the tiles of `day` that lie between two heights.
 * @param {import("./types").Day} day
 * @param {import("./types").Shape} shape
 * @param {number} from
 * @param {number} to
 */
export function between(day, shape, from, to) {
  const first = Math.max(0, Math.floor((from - day.top - HEADING) / shape.row)) * shape.columns
  const last = Math.min(day.tiles.length, Math.ceil((to - day.top - HEADING) / shape.row) * shape.columns)
  return { first, last }
}

/**
 * Return left and top of a tile within its day.
 * @param {number} index
 * @param {import("./types").Shape} shape
 */
export function offsetOf(index, shape) {
  const [column, row] = [index % shape.columns, Math.floor(index / shape.columns)]
  return { left: column * (shape.tile + GAP), top: HEADING + row * shape.row }
}

/**
 * Return the tile above (-1) or below (1) another, or null at the end. Across days it stays in
 * the same column, or takes the last tile of a shorter row.
 * @param {import("./types").Day[]} days
 * @param {import("./types").Shape} shape
 * @param {{ day: import("./types").Day, index: number }} place
 * @param {number} direction
 */
export function vertical(days, { columns }, { day, index }, direction) {
  const column = index % columns
  const next = index + direction * columns
  if (next >= 0 && next < day.tiles.length) return day.tiles[next]
  const lastRow = Math.floor((day.tiles.length - 1) / columns)
  if (direction > 0 && Math.floor(index / columns) < lastRow) return day.tiles.at(-1)
  const other = days[days.indexOf(day) + direction]
  if (!other) return null
  if (direction > 0) return other.tiles[Math.min(column, other.tiles.length - 1)]
  const start = Math.floor((other.tiles.length - 1) / columns) * columns
  return other.tiles[Math.min(start + column, other.tiles.length - 1)]
}
