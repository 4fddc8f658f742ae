// The clock of a clip and its speeds.

export const SPEEDS = [0.25, 0.5, 1, 2, 4]

/**
 * Return the seconds of wall clock that one second of the file stands for.
 *
 * A file's own length differs from the span that its name gives. Of a clip that was cut off
 * only the beginning exists, and that runs at its real speed.
 * @param {{ isCut?: boolean, span_s?: number }} clip
 * @param {number} length
 */
export function scaleOf(clip, length) {
  if (clip.isCut) return 1
  return clip.span_s && length ? clip.span_s / length : 1
}

/**
 * Return the next faster (1) or slower (-1) speed; `around` goes from the last to the first.
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
