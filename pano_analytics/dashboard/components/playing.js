// The times of a clip and its speeds.

export const SPEEDS = [0.25, 0.5, 1, 2, 4]

/**
 * Return the wall-clock seconds per second of the file.
 *
 * The length of a file differs from the span in its name. A clip that was cut off contains only
 * its beginning, which runs at real speed.
 * @param {{ isCut?: boolean, span_s?: number }} clip
 * @param {number} length
 */
export function scaleOf(clip, length) {
  if (clip.isCut) return 1
  return clip.span_s && length ? clip.span_s / length : 1
}

/**
 * Return the next faster (1) or slower (-1) speed; with `around`, the first follows the last.
 * @param {number} speed
 * @param {number} direction
 */
export function nextSpeed(speed, direction, around = false) {
  const next = SPEEDS.indexOf(speed) + direction
  const index = around ? (next + SPEEDS.length) % SPEEDS.length : Math.min(SPEEDS.length - 1, Math.max(0, next))
  return SPEEDS[index]
}

/**
 * Return the moment closest to `seconds` that the player can show.
 * @param {number} seconds
 * @param {number} length
 */
export function within(seconds, length) {
  return Math.min(Math.max(0, seconds), Math.max(0, length - 0.05))
}
