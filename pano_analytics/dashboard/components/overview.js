// The camera cards: latest picture and its time, today's count, silence, links.

import { asDataFrame, h, icon, refill } from "./dom.js"
import { followLinks, onSelection, query } from "./links.js"

function cameraLinks(camera) {
  const link = (href, name, label) => href && h("a", {
    href, class: "quiet", target: "_blank", rel: "noopener noreferrer", title: `${label} of ${camera.name}`,
  }, icon(name), label)
  return [link(camera.live, "live", "Live"), link(camera.admin, "gear", "Settings")]
}

function cameraPicture(camera) {
  const picture = camera.thumb
    ? h("img", { src: `thumb/${camera.thumb}.jpg`, alt: `Latest picture of ${camera.name}, ${camera.when}`, decoding: "async" })
    : h("span", { class: "no-picture" }, camera.item ? "No picture could be read" : "No uploads yet")
  if (!camera.item) return h("div", { class: "picture" }, picture)
  return h("a", { class: "picture", href: query({ item: camera.item }), "data-go": true, "data-key": `p-${camera.name}` }, picture)
}

function cameraCard(camera) {
  const badge = camera.silent
    ? h("span", { class: "badge warn", title: camera.silent_text }, icon("warn"), "Silent")
    : null
  return h("article", { class: "card", "aria-label": camera.name },
    cameraPicture(camera),
    h("div", { class: "line" },
      h("a", { class: "name", href: query({ camera: camera.name, item: null, t: null }), "data-go": true, "data-key": `n-${camera.name}`, title: `Only ${camera.name}` }, camera.name),
      badge ?? h("span", { class: "today" }, camera.today_text)),
    h("div", { class: "line small muted" }, h("span", { class: "when-text" }, camera.silent ? camera.silent_text : camera.when),
      h("span", { class: "links" }, cameraLinks(camera))),
    camera.short && h("p", { class: "short-disk", title: "The disk is too small for the configured days (keep_days)" }, icon("warn"), `Disk: ${camera.short}`),
    camera.clock && h("p", { class: "clock-off", title: "Its times are shown as its clock has them; pano doctor says how to correct them" }, icon("warn"), `Clock: ${camera.clock}`),
    camera.description && h("p", { class: "muted", title: camera.description }, camera.description))
}

// Files that match no camera's name scheme: nothing else on the page shows them.
function unreadNotice(place) {
  return h("details", { class: "unread" },
    h("summary", {}, icon("warn"), h("span", {}, place.text)),
    h("p", {}, place.advice),
    place.snippet && h("pre", {}, place.snippet))
}

// Problems that stop culling or ingest: this computer's clock, or another disk in place of
// the uploads.
function troubleNotice(text) {
  return h("p", { class: "unread trouble" }, icon("warn"), text[0].toUpperCase() + text.slice(1))
}

// A camera of the selection whose clock is wrong: uploads may belong to the range and not be in it.
function clockNotice(text) {
  return h("p", { class: "unread clock-notice" }, icon("warn"), text)
}

export const overview = (place, line) => {
  const cards = h("div", { class: "cards" })
  const head = h("header", {})
  const notices = h("div", { class: "troubles", role: "status" })
  const host = h("section", { class: "overview", "aria-label": "Cameras" }, head, notices, cards)
  const draw = () => {
    const { cameras, call, troubles, clocks, unread } = line.data
    refill(notices, [...troubles.map(troubleNotice), ...clocks.map(clockNotice), ...unread.map(unreadNotice)])
    refill(cards, cameras.map(cameraCard))
    refill(head, h("h2", {}, "Cameras"), asDataFrame(call))
  }
  followLinks(host)
  onSelection(draw)
  line.listen(draw)
  draw()
  place.append(host)
}
