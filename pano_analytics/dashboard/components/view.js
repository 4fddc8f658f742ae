// Pan and zoom as numbers: a scale, and an offset from the middle of the stage in CSS pixels.

const MOST = 10

/** @typedef {{ scale: number, x: number, y: number }} View */

/** @type {Readonly<View>} */
export const WHOLE = { scale: 1, x: 0, y: 0 }

/**
 * Return `view` moved as far as needed to leave no gap beside the picture.
 * @param {View} view
 * @param {number} width
 * @param {number} height
 * @returns {View}
 */
export function kept({ scale, x, y }, width, height) {
  const [roomX, roomY] = [width * (scale - 1) / 2, height * (scale - 1) / 2]
  return { scale, x: Math.min(roomX, Math.max(-roomX, x)), y: Math.min(roomY, Math.max(-roomY, y)) }
}

/**
 * Return `view` zoomed so that the point of the picture at (px, py) from the middle stays there.
 * @param {View} view
 * @param {number} factor
 * @param {number} px
 * @param {number} py
 * @returns {View}
 */
export function zoomed(view, factor, px, py) {
  const scale = Math.min(MOST, Math.max(1, view.scale * factor))
  const ratio = scale / view.scale
  return { scale, x: px - (px - view.x) * ratio, y: py - (py - view.y) * ratio }
}

/**
 * Return -1 or 1 for a swipe to the right or left, 0 for any other movement.
 * @param {number} dx
 * @param {number} dy
 */
export function swipe(dx, dy) {
  return Math.abs(dx) > 60 && Math.abs(dx) > 2 * Math.abs(dy) ? -Math.sign(dx) : 0
}
