// Helpers to create and update elements, used by all parts of the page.
//
// Text enters the page only as text nodes and attributes: a camera's name may be "<img onerror>".

const SVG = "http://www.w3.org/2000/svg"

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (value == null || value === false) continue
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value)
    else element.setAttribute(name, value === true ? "" : value)
  }
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== false))
  return element
}

const STROKES = {
  play: "M8 5.5v13l11-6.5z",
  pause: "M8 5v14M16 5v14",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  close: "M6 6l12 12M18 6L6 18",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  link: "M10 14a4 4 0 005.7 0l3-3A4 4 0 0013 5.300l-1 1M14 10a4 4 0 00-5.700 0l-3 3A4 4 0 0011 18.700l1-1",
  gear: "M4 7h9M17 7h3M4 17h3M11 17h9M15 5v4M9 15v4",
  live: "M12 12h.01M8.500 15.500a5 5 0 010-7M15.500 8.500a5 5 0 010 7M5.600 18.400a9 9 0 010-12.800M18.400 5.600a9 9 0 010 12.800",
  theme: "M12 4a8 8 0 100 16zM12 4a8 8 0 010 16",
  help: "M9.200 9.200a3 3 0 115.200 2c-1 .9-2.400 1.500-2.400 3M12 17.500h.01",
  filter: "M4 6h16M7 12h10M10 18h4",
  stack: "M8 8h12v11H8zM4 15V5h11",
  sound: "M5 9.500v5h3.500L13 18.500v-13L8.500 9.500zM16.500 9a4 4 0 010 6",
  mute: "M5 9.500v5h3.500L13 18.500v-13L8.500 9.500zM17 10l4 4M21 10l-4 4",
  full: "M5 9V5h4M19 9V5h-4M5 15v4h4M19 15v4h-4",
  info: "M12 11v6M12 7.500h.01M12 3a9 9 0 100 18 9 9 0 000-18z",
  camera: "M4 7.500h4l1.500-2.500h5L16 7.500h4v11H4zM12 10a3 3 0 100 6 3 3 0 000-6z",
  copy: "M9 9h10v11H9zM5 15V4h10",
  warn: "M12 4l9 16H3zM12 10v4M12 17h.01",
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg")
  svg.setAttribute("viewBox", "0 0 24 24")
  svg.setAttribute("aria-hidden", "true")
  svg.setAttribute("class", `icon icon-${name}`)
  const path = document.createElementNS(SVG, "path")
  path.setAttribute("d", STROKES[name])
  svg.append(path)
  return svg
}

export function isPlainClick(event) {
  return event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey
}

// navigator.clipboard exists only over HTTPS and on localhost, which a home server may not have.
async function copyText(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text)
  const area = h("textarea", { style: "position:fixed;opacity:0" })
  area.value = text
  const host = document.querySelector("dialog[open]") ?? document.body
  host.append(area)
  area.select()
  document.execCommand("copy")
  area.remove()
}

export function copyButton(label, text) {
  const caption = h("span", {}, label)
  const button = h("button", { class: "quiet", type: "button" }, icon("copy"), caption)
  button.addEventListener("click", async () => {
    await copyText(typeof text === "function" ? text() : text)
    caption.textContent = "Copied"
    setTimeout(() => { caption.textContent = label }, 1500)
  })
  return button
}

export function asDataFrame(call) {
  return h("details", { class: "frame" },
    h("summary", {}, "as DataFrame"),
    h("div", { class: "frame-body" }, h("code", { tabindex: "0" }, call), copyButton("Copy", call)))
}

// Replace the children of `host`, keeping the focus on the same element.
export function refill(host, ...children) {
  const focused = document.activeElement
  const key = focused instanceof HTMLElement && host.contains(focused) && focused.dataset.key
  const open = new Set([...host.querySelectorAll("details[open]")].map((one) => one.className))
  host.replaceChildren(...children.flat(Infinity).filter(Boolean))
  for (const one of host.querySelectorAll("details")) if (open.has(one.className)) one.open = true
  if (key) host.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true })
}

// Arrow keys move between `[data-roam]` elements; one of them is in the tab order.
export function setRoaming(elements, current) {
  for (const element of elements) element.tabIndex = element === current ? 0 : -1
}
