// Times and numbers as text. The server sends wall-clock seconds of the library's zone, and they
// are shown unchanged: the browser's time zone has no effect.

/** @param {number} seconds */
export function clock(seconds, withSeconds = true) {
  const day = ((Math.floor(seconds) % 86400) + 86400) % 86400
  const parts = [Math.floor(day / 3600), Math.floor(day / 60) % 60]
  if (withSeconds) parts.push(day % 60)
  return parts.map((part) => String(part).padStart(2, "0")).join(":")
}

/** @param {number} seconds */
export function length(seconds) {
  const whole = Math.max(0, Math.round(seconds))
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`
}

/**
 * @param {number} number
 * @param {string} one
 */
export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`
}
