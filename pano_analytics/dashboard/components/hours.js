// Hours of a heatmap: their shades, ranges and labels.

import { count } from "./words.js"

// Fixed steps, each doubling the files: a shade means the same for all cameras and days.
export const STEPS = [1, 2, 4, 8, 16, 32]

/** @param {number} files */
export const level = (files) => STEPS.filter((step) => files >= step).length
/** @param {number} number */
export const pad = (number) => String(number).padStart(2, "0")

/** @param {string} day */
export function nextDay(day) {
  const date = new Date(`${day}T00:00:00Z`)
  date.setUTCDate(date.getUTCDate() + 1)
  return date.toISOString().slice(0, 10)
}

/**
 * Return the bounds of an hour as wall-clock text.
 * @param {string} day
 * @param {number} hour
 */
export function hourRange(day, hour) {
  return { from: `${day}T${pad(hour)}`, to: hour === 23 ? nextDay(day) : `${day}T${pad(hour + 1)}` }
}

/**
 * @param {{ long: string }} day
 * @param {number} hour
 * @param {number} snapshots
 * @param {number} clips
 */
export function cellLabel(day, hour, snapshots, clips) {
  const files = snapshots + clips
    ? `${count(snapshots, "snapshot")}, ${count(clips, "clip")}` : "nothing"
  return `${day.long}, ${pad(hour)}:00 to ${pad(hour + 1)}:00: ${files}`
}

/**
 * Return whether the camera's hour lies in the selection. The bounds are wall-clock text in
 * one format, so that comparing text compares times.
 * @param {import("./types").Selection} selection
 * @param {string} camera
 * @param {{ from: string, to: string }} range
 */
export function isSelected(selection, camera, range) {
  if (!selection.from && !selection.to) return false
  if (selection.cameras.length && !selection.cameras.includes(camera)) return false
  return (!selection.to || range.from < selection.to) && (!selection.from || range.to > selection.from)
}
