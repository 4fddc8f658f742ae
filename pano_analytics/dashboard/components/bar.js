// The filter bar: time range, cameras, kind and state.

import { h, icon, refill } from "./dom.js"
import { followLinks, go, onSelection, query } from "./links.js"

const MODES = [["moments", "Moments"], ["files", "All files"]]
const KINDS = [["", "All"], ["snapshot", "Snapshots"], ["clip", "Clips"]]
const KEYS = [
  ["← →", "next or previous picture, or hour in the heatmap"],
  ["↑ ↓", "other pictures of the same moment"],
  ["Enter", "open the picture, or select the hour"],
  ["Esc", "close"],
  ["Space", "play or pause the clip"],
  [",  .", "one frame back or forward in the clip"],
  ["[  ]", "slower, faster"],
  ["+  −  0", "zoom in, out, and back to the whole picture"],
  ["i", "details of the picture"],
  ["d", "download"],
  ["p  n", "earlier or later time range"],
  ["t", "dark or light theme"],
  ["?", "show these keys"],
]
const NOTHING_OPEN = { item: null, t: null }

function choice(key, label, patch, isOn, extra = {}) {
  return h("a", { class: "chip", href: query({ ...patch, ...NOTHING_OPEN }), "data-go": true, "data-key": key, "aria-current": isOn ? "true" : null, ...extra }, label)
}

function stepLink(target, key, name, label) {
  if (!target) return h("span", { class: "button off", "aria-hidden": "true" }, icon(name))
  return h("a", { class: "button", href: query({ ...bounds(target), ...NOTHING_OPEN }), "data-go": true, "data-key": key, "aria-label": `${label}: ${target.label}`, title: `${label}: ${target.label}` }, icon(name))
}

// Only the bounds of a range belong in the address, not its label.
const bounds = (range) => range && { from: range.from, to: range.to }

function rangeForm(data, close) {
  const from = h("input", { type: "datetime-local", name: "from", value: data.inputs.from, step: "60", "aria-label": "From" })
  const to = h("input", { type: "datetime-local", name: "to", value: data.inputs.to, step: "60", "aria-label": "To" })
  const form = h("form", { class: "range-form" },
    h("label", {}, "From", from), h("label", {}, "To", to),
    h("button", { class: "button primary", type: "submit" }, "Show"),
    h("p", { class: "muted" }, `Time zone: ${data.zone}`))
  form.addEventListener("submit", (event) => {
    event.preventDefault()
    close()
    go(query({ from: from.value || null, to: to.value || null, ...NOTHING_OPEN }))
  })
  return form
}

function rangePicker(data) {
  const details = h("details", { class: "range" })
  const close = () => { details.open = false }
  details.append(
    h("summary", { class: "button", "data-key": "range", "aria-label": `Time range: ${data.label}`, title: data.label }, h("span", {}, data.label)),
    h("div", { class: "popover" }, rangeForm(data, close)))
  details.addEventListener("keydown", (event) => { if (event.key === "Escape") { close(); details.firstChild.focus() } })
  details.addEventListener("focusout", (event) => { if (event.relatedTarget && !details.contains(event.relatedTarget)) close() })
  return details
}

function whenRow(data) {
  return h("div", { class: "when" },
    stepLink(data.earlier, "earlier", "left", "Earlier"),
    rangePicker(data),
    stepLink(data.later, "later", "right", "Later"))
}

function quickRow(data) {
  return h("nav", { class: "chips quick", "aria-label": "Quick ranges" },
    data.quick.map((range) => choice(`q-${range.name}`, range.name, bounds(range), range.on)))
}

function cameraChips(data) {
  const chosen = new Set(data.cameras.filter((camera) => camera.on).map((camera) => camera.name))
  const all = choice("all-cameras", "All cameras", { camera: null }, chosen.size === 0)
  return [all, data.cameras.map(({ name, on }) => {
    const next = on ? [...chosen].filter((other) => other !== name) : [...chosen, name]
    return choice(`camera-${name}`, name, { camera: next }, on)
  })]
}

function whatRow(data) {
  const mode = new URLSearchParams(location.search).get("mode") ?? "moments"
  return h("div", { class: "what" },
    h("nav", { class: "chips cameras", "aria-label": "Cameras" }, cameraChips(data)),
    h("nav", { class: "chips segmented", "aria-label": "View" },
      MODES.map(([value, label]) => choice(`mode-${value}`, label, { mode: value === "moments" ? null : value }, mode === value,
        { title: value === "moments" ? "One tile for a clip and its snapshots" : "One tile per file" }))),
    h("nav", { class: "chips segmented", "aria-label": "Kind" },
      KINDS.map(([value, label]) => choice(`kind-${value}`, label, { kind: value || null }, data.kind === value))))
}

function notices(data) {
  if (!data.notices.length) return null
  return h("div", { class: "notices", role: "status" }, data.notices.map((text) => h("p", {}, icon("warn"), text)))
}

function helpDialog() {
  const close = h("button", { class: "button", type: "button", "aria-label": "Close" }, icon("close"))
  const dialog = h("dialog", { class: "help", "aria-label": "Keys" },
    h("header", {}, h("h2", {}, "Keys"), close),
    h("dl", {}, KEYS.map(([keys, what]) => [h("dt", {}, h("kbd", {}, keys)), h("dd", {}, what)])))
  close.addEventListener("click", () => dialog.close())
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close() })
  return dialog
}

function toggleTheme() {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark"
  document.documentElement.dataset.theme = next
  localStorage.setItem("pano-theme", next)
}

function isTyping(event) {
  return /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)
}

function shortcuts(host, help) {
  return (event) => {
    if (isTyping(event) || event.metaKey || event.ctrlKey || event.altKey) return
    if (event.key === "?") help.open ? help.close() : help.showModal()
    else if (event.key === "t") toggleTheme()
    else if (event.key === "p") host.querySelector('[data-key="earlier"]')?.click()
    else if (event.key === "n") host.querySelector('[data-key="later"]')?.click()
  }
}

function buttons(host, help) {
  const button = (name, label, click, extra = {}) =>
    h("button", { class: "button", type: "button", "aria-label": label, title: label, onclick: click, ...extra }, icon(name))
  const filter = button("filter", "Filters", () => {
    filter.setAttribute("aria-expanded", String(host.classList.toggle("open")))
  }, { class: "button only-phone", "aria-expanded": "false" })
  return h("div", { class: "tools" }, filter,
    button("theme", "Dark or light theme (t)", toggleTheme),
    button("help", "Keys (?)", () => help.showModal(), { class: "button not-phone" }))
}

export const bar = (place, line) => {
  const help = helpDialog()
  const [when, quick, what, messages] = ["slot", "slot", "slot", "slot"].map((name) => h("div", { class: name }))
  const host = h("header", { class: "bar" })
  host.append(
    h("div", { class: "first" }, h("a", { class: "brand", href: "?", "data-go": true, "aria-label": "Panopticon: everything" }, h("i", {}), h("span", {}, "Panopticon")), when, buttons(host, help)),
    h("div", { class: "second" }, quick, what), messages, help)
  const draw = () => {
    const data = line.data
    // Keep an open range form: an update from the server must not discard what is being typed.
    if (!when.querySelector(".range[open]")) refill(when, whenRow(data))
    refill(quick, quickRow(data))
    refill(what, whatRow(data))
    refill(messages, notices(data))
  }
  const keys = shortcuts(host, help)
  followLinks(host)
  document.addEventListener("keydown", keys)
  document.addEventListener("pointerdown", (event) => {
    const range = host.querySelector(".range[open]")
    if (range && !range.contains(event.target)) range.open = false
  })
  onSelection(draw)
  line.listen(draw)
  draw()
  place.append(host)
  // Elements that stick below the bar need its height, which grows with many cameras.
  new ResizeObserver(() => document.documentElement.style.setProperty("--bar", `${place.offsetHeight}px`)).observe(place)
}
