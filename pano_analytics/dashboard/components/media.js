// An upload in the viewer: whether it is a clip, its addresses, its strip of pictures.

const PICTURES = new Set(["jpeg", "png", "gif", "webp", "bmp", "tiff", "avif"])

/** States that have nothing to show at full size. */
export const UNSHOWABLE = new Set(["damaged", "unsupported", "empty", "missing", "culled"])

/**
 * Return whether an upload plays as a clip: by the file's content if it was opened, else by the kind,
 * which comes from its name.
 * @param {{ codec?: string | null, kind: string }} row
 */
export const isMoving = (row) => row.codec ? !PICTURES.has(row.codec) : row.kind === "clip"

/** @typedef {{ camera: string, date: string, id: string }} Address */

/** @param {Address} row */
export const mediaPath = (row) => `media/${encodeURIComponent(row.camera)}/${row.date}/${row.id}`

/** @param {Address} row */
export const clipPath = (row) => `clip/${encodeURIComponent(row.camera)}/${row.date}/${row.id}.mp4`

/**
 * Return the clip's key frames and snapshots merged with the other uploads of the same moment,
 * in order of time. `wall` counts seconds from midnight of a row's own date.
 * @template {{ id?: string | null, wall: number, date?: string }} Frame
 * @param {Frame[]} own
 * @param {Frame[]} others
 * @param {string | null | undefined} clip
 * @param {string} date
 * @returns {Frame[]}
 */
export function mergedStrip(own, others, clip, date) {
  if (!own.length) return others
  const known = new Set([clip, ...own.map((frame) => frame.id)])
  const midnight = Date.parse(date)
  const at = (/** @type {Frame} */ frame) => frame.wall + (frame.date ? (Date.parse(frame.date) - midnight) / 1000 : 0)
  return [...own, ...others.filter((row) => !known.has(row.id))].sort((one, other) => at(one) - at(other))
}
