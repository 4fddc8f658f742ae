// The address, which stores the selection, and links that change it.

import { isPlainClick } from "./dom.js"
import { patched } from "./query.js"

/**
 * Return the address of this page with each name of `patch` set.
 * @param {Parameters<typeof patched>[1]} patch
 */
export function query(patch) {
  return patched(location.search, patch) || location.pathname
}

export function go(href, { replace = false } = {}) {
  const target = new URL(href, location.href)
  if (target.href === location.href) return
  const from = replace ? history.state?.from : location.search
  if (!replace) history.replaceState({ ...history.state, scroll: scrollY }, "")
  history[replace ? "replaceState" : "pushState"]({ from }, "", target)
  window.dispatchEvent(new Event("pano:address"))
}

// Going to the previous address goes back in the history, so that opening and closing ten
// pictures does not add twenty entries.
export function goBackTo(href) {
  const target = new URL(href, location.href)
  if (history.state?.from === target.search) history.back()
  else go(href)
}

export function onAddress(callback) {
  window.addEventListener("pano:address", callback)
  window.addEventListener("popstate", callback)
}

// Like onAddress, but ignores changes of the open picture.
export function onSelection(callback) {
  const key = () => query({ item: null, t: null })
  let last = key()
  onAddress(() => {
    if (key() === last) return
    last = key()
    callback()
  })
}

// Links are real (a middle click opens the view in a new tab); a plain click stays in the page.
export function followLinks(root) {
  root.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-go]")
    if (!link || !isPlainClick(event)) return
    event.preventDefault()
    go(link.getAttribute("href"))
  })
}
