// The query string of the address, which stores the selection.

/**
 * Return the query string of `base` with each name of `patch` set; null removes a name.
 * @param {string} base
 * @param {Record<string, string | number | null | undefined | readonly (string | number)[]>} patch
 */
export function patched(base, patch) {
  const params = new URLSearchParams(base)
  for (const [name, value] of Object.entries(patch)) {
    params.delete(name)
    for (const one of [value ?? []].flat()) params.append(name, String(one))
  }
  const text = params.toString().replaceAll("%3A", ":")
  return text ? `?${text}` : ""
}
