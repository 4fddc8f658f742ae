// One heatmap per camera, hour by day: each cell links to that hour of that camera.

import { asDataFrame, h, icon, refill, setRoaming } from "./dom.js"
import { STEPS, cellLabel, hourRange, isSelected, level, nextDay, pad } from "./hours.js"
import { followLinks, onSelection, query } from "./links.js"
import { count } from "./words.js"

function cell(camera, day, hour, data) {
  const index = data.row * 24 + hour
  const [snapshots, clips] = [camera.snapshots[index], camera.clips[index]]
  if (snapshots == null) return h("span", { class: "cell void" })
  const range = hourRange(day.date, hour)
  const selected = isSelected(data.selection, camera.name, range)
  const only = selected && data.selection.from === range.from && data.selection.to === range.to
  const patch = only ? { from: null, to: null } : { camera: camera.name, ...range }
  return h("a", {
    class: `cell l${level(snapshots + clips)}${selected ? " selected" : ""}`,
    href: query({ ...patch, item: null, t: null }), "data-go": true, "data-roam": true, tabindex: "-1",
    "data-key": `${camera.name} ${range.from}`, "aria-label": cellLabel(day, hour, snapshots, clips),
    "aria-current": only ? "true" : null, title: cellLabel(day, hour, snapshots, clips),
  })
}

function dayRow(camera, day, row, selection) {
  const patch = { camera: camera.name, from: day.date, to: nextDay(day.date), item: null, t: null }
  const cells = Array.from({ length: 24 }, (_, hour) => cell(camera, day, hour, { row, selection }))
  return h("div", { class: "row" },
    h("a", { class: "day", href: query(patch), "data-go": true, tabindex: "-1", "data-roam": true,
      "data-key": `${camera.name} ${day.date}`, title: `${camera.name}, ${day.long}` }, day.short), cells)
}

function heatmap(camera, data) {
  const dimmed = data.selection.cameras.length && !data.selection.cameras.includes(camera.name)
  const axis = h("div", { class: "row axis", "aria-hidden": "true" }, h("span", { class: "day" }),
    [0, 6, 12, 18].map((hour) => h("span", {}, pad(hour))))
  return h("figure", { class: `heatmap${dimmed ? " dimmed" : ""}` },
    h("figcaption", {}, h("a", { href: query({ camera: camera.name, item: null, t: null }), "data-go": true, "data-key": `c-${camera.name}` }, camera.name),
      h("span", { class: "muted" }, count(camera.total, "file"))),
    h("div", { class: "grid", role: "group", "aria-label": `Activity of ${camera.name} by hour and day. Arrow keys move, Enter selects an hour.` },
      axis, data.days.map((day, row) => dayRow(camera, day, row, data.selection))))
}

function legend() {
  return h("p", { class: "legend muted" }, "files per hour",
    [0, ...STEPS].map((step) => h("span", {}, h("i", { class: `cell l${step ? level(step) : 0}` }), step === 32 ? "32+" : String(step))))
}

function steps(data) {
  const step = (key, name, label) => data[key]
    ? h("a", { class: "quiet", href: query({ until: data[key] }), "data-go": true, "data-key": key, "aria-label": label, title: label }, icon(name))
    : h("span", { class: "quiet off", "aria-hidden": "true" }, icon(name))
  if (!data.earlier && !data.later) return null
  return h("span", { class: "steps" }, step("earlier", "left", "Earlier days"), step("later", "right", "Later days"))
}

function roam(host, event) {
  const here = event.target
  const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key]
  if (!move || !here.matches?.("[data-roam]")) return
  event.preventDefault()
  event.stopPropagation()
  const rows = [...host.querySelectorAll(".row:not(.axis)")].map((row) => [...row.children])
  const y = rows.findIndex((row) => row.includes(here))
  const x = rows[y].indexOf(here)
  for (let [j, i] = [y + move[0], x + move[1]]; rows[j]?.[i]; j += move[0], i += move[1]) {
    if (rows[j][i].matches("[data-roam]")) return focusCell(host, rows[j][i])
  }
}

function focusCell(host, target) {
  setRoaming(target.closest(".grid").querySelectorAll("[data-roam]"), target)
  target.focus()
}

// Each heatmap has one tab stop: its selected hour, else its newest.
function setStops(host) {
  for (const grid of host.querySelectorAll(".grid")) {
    const all = [...grid.querySelectorAll("[data-roam]")]
    const stop = grid.querySelector("[aria-current]") ?? grid.querySelector("a.selected") ?? all.find((one) => one.matches(".cell"))
    setRoaming(all, stop)
  }
}

export const activity = (place, line) => {
  const host = h("section", { class: "activity", "aria-label": "Activity by hour and day" })
  const draw = () => {
    const data = line.data
    refill(host,
      h("header", {}, h("h2", {}, "Activity"), h("span", { class: "muted" }, data.span), steps(data), asDataFrame(data.call)),
      data.cameras.length ? legend() : h("p", { class: "muted" }, "No activity yet."),
      h("div", { class: "heatmaps" }, data.cameras.map((camera) => heatmap(camera, data))))
    setStops(host)
  }
  followLinks(host)
  host.addEventListener("keydown", (event) => roam(host, event))
  host.addEventListener("click", (event) => { if (event.target.matches(".cell, .day")) window.dispatchEvent(new Event("pano:show")) })
  onSelection(draw)
  line.listen(draw)
  draw()
  place.append(host)
}
