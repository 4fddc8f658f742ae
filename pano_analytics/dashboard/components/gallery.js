// The gallery: thousands of thumbnails, newest first; only those in view have elements.

import { GAP, HEADING, between, offsetOf, placeOf, shapeOf, stack, vertical } from "./arrange.js"
import { asDataFrame, h, icon, isPlainClick, refill, setRoaming } from "./dom.js"
import { followLinks, go, onAddress, query } from "./links.js"
import { byDay, lengthOf, moments, tileLabel, unpack } from "./rows.js"
import { Viewer } from "./viewer.js"
import { clock, count } from "./words.js"

// --- Tiles.

function tilePicture(moment) {
  if (moment.face) return h("img", { src: `thumb/${moment.face}.jpg`, alt: "", decoding: "async", draggable: "false" })
  return h("span", { class: "no-picture" }, moment.lead.word || "No picture")
}

function tile(moment) {
  const { lead, stills, clips } = moment
  const element = h("a", { class: "tile", href: query({ item: lead.id, t: null }), "data-go": true, "data-key": moment.key, tabindex: "-1", "aria-label": tileLabel(moment) },
    h("span", { class: "picture" }, tilePicture(moment),
      stills.length ? h("span", { class: "mark stack" }, icon("stack"), String(stills.length)) : null,
      clips.length ? h("span", { class: "mark length" }, icon("play"), clips.length > 1 ? `${clips.length} clips, ` : null, lengthOf(clips)) : null),
    h("span", { class: "caption" }, h("b", {}, clock(lead.wall)), h("span", { class: "camera" }, lead.camera),
      lead.doubt ? h("span", { class: "badge warn", title: "The time differs from the one in the file name" }, "time?") : null,
      lead.word && moment.face ? h("span", { class: "badge warn" }, lead.word) : null))
  if (stills.length > 1) previewOnHover(element, stills)
  return element
}

// Hovering over a tile plays its snapshots, so that most need not be opened.
function previewOnHover(element, stills) {
  if (!matchMedia("(hover: hover) and (prefers-reduced-motion: no-preference)").matches) return
  let timer = null
  const picture = element.querySelector("img")
  const first = picture?.getAttribute("src")
  const stop = () => { clearInterval(timer); timer = null; if (first) picture.setAttribute("src", first) }
  element.addEventListener("mouseenter", () => {
    let index = 0
    timer = picture && setInterval(() => {
      const next = stills[index++ % stills.length].thumb
      if (!element.isConnected) return stop()
      if (next) picture.setAttribute("src", `thumb/${next}.jpg`)
    }, 650)
  })
  element.addEventListener("mouseleave", stop)
}

// --- The grid: the position of each tile, and elements for the ones in view.

class Grid {
  constructor(host) {
    this.host = host
    this.days = []
    this.shape = shapeOf(0)
    /** @type {import("./types").Moment[]} */
    this.flat = []
    this.elements = new Map()
    this.sections = new Map()
    this.current = null
    new ResizeObserver(() => this.relayout()).observe(host)
  }

  set(days) {
    const anchor = this.anchor()
    this.days = days
    this.flat = days.flatMap((day) => day.tiles)
    this.relayout(anchor)
  }

  relayout(anchor = this.anchor()) {
    const width = this.host.clientWidth
    if (!width) return
    this.shape = shapeOf(width)
    const top = stack(this.days, this.shape)
    this.host.style.height = `${top}px`
    this.keep(anchor)
    this.draw()
  }

  // The first tile in view keeps its position when rows are added above it.
  anchor() {
    const top = this.host.getBoundingClientRect().top
    if (top >= 0 || !this.flat.length) return null
    for (const [key, element] of this.elements) {
      const box = element.getBoundingClientRect()
      if (box.top >= 0) return { key, top: box.top }
    }
    return null
  }

  keep(anchor) {
    const place = anchor && this.place(anchor.key)
    if (!place) return
    const now = this.host.getBoundingClientRect().top + place.top
    if (Math.abs(now - anchor.top) > 1) window.scrollBy({ top: now - anchor.top, behavior: "instant" })
  }

  place(key) {
    return placeOf(this.days, this.shape, key)
  }

  draw() {
    const top = -this.host.getBoundingClientRect().top
    const [from, to] = [top - innerHeight, top + 2 * innerHeight]
    const wanted = new Set()
    const days = this.days.filter((day) => day.top < to && day.top + day.height > from)
    for (const day of days) this.drawDay(day, from, to, wanted)
    this.drop(wanted, new Set(days.map((day) => day.date)))
    this.setStop()
  }

  drawDay(day, from, to, wanted) {
    const section = this.section(day)
    const { first, last } = between(day, this.shape, from, to)
    for (let index = first; index < last; index++) {
      wanted.add(day.tiles[index].key)
      this.put(section, day.tiles[index], index)
    }
  }

  section(day) {
    if (!this.sections.has(day.date)) {
      const section = h("section", { "aria-label": day.label }, h("h3", {}, h("b", {}, day.label), h("span", {})))
      this.sections.set(day.date, section)
      this.host.append(section)
    }
    const section = this.sections.get(day.date)
    Object.assign(section.style, { top: `${day.top}px`, height: `${day.height}px` })
    section.querySelector("h3 span").textContent = day.complete ? count(day.tiles.length, day.noun) : ""
    return section
  }

  put(section, moment, index) {
    let element = this.elements.get(moment.key)
    if (!element || element.sign !== moment.sign) {
      element?.remove()
      element = tile(moment)
      element.sign = moment.sign
      this.elements.set(moment.key, element)
    }
    const { left, top } = offsetOf(index, this.shape)
    element.style.cssText = `left:${left}px;top:${top}px;width:${this.shape.tile}px;height:${this.shape.row - GAP}px`
    if (element.parentNode !== section) section.append(element)
  }

  drop(wanted, days) {
    for (const [key, element] of this.elements) {
      if (wanted.has(key)) continue
      element.remove()
      this.elements.delete(key)
    }
    for (const [date, section] of this.sections) {
      if (days.has(date)) continue
      section.remove()
      this.sections.delete(date)
    }
  }

  refreshLinks() {
    for (const [key, element] of this.elements) element.href = query({ item: key, t: null })
  }

  // --- Keyboard.

  setStop() {
    const stop = this.elements.get(this.current) ?? this.elements.values().next().value
    setRoaming(this.elements.values(), stop)
  }

  reveal(key, { focus = true } = {}) {
    const place = this.place(key)
    if (!place) return
    const top = this.host.getBoundingClientRect().top + place.top
    const [low, high] = [HEADING + 120, innerHeight - this.shape.row]
    if (top < low) window.scrollBy({ top: top - low, behavior: "instant" })
    else if (top > high) window.scrollBy({ top: top - high, behavior: "instant" })
    this.current = key
    this.draw()
    if (focus) this.elements.get(key)?.focus({ preventScroll: true })
  }

  roam(event) {
    const key = event.target.dataset?.key
    const place = key && this.place(key)
    if (!place) return
    const flat = this.flat.indexOf(place.day.tiles[place.index])
    const moves = {
      ArrowLeft: () => this.flat[flat - 1], ArrowRight: () => this.flat[flat + 1],
      ArrowUp: () => vertical(this.days, this.shape, place, -1), ArrowDown: () => vertical(this.days, this.shape, place, 1),
      Home: () => this.flat[0], End: () => this.flat.at(-1),
    }
    if (!moves[event.key]) return
    event.preventDefault()
    const target = moves[event.key]()
    if (target) this.reveal(target.key)
  }
}

// --- The component: rows in, grid and viewer out.

class Gallery {
  constructor(place, line) {
    this.line = line
    this.blocks = new Map()
    /** @type {Map<string, import("./types").Row>} */
    this.rows = new Map()
    /** The key of the tile of each upload. @type {Map<string, string>} */
    this.leads = new Map()
    this.build(place)
    this.grid = new Grid(this.place)
    this.viewer = new Viewer({ neighbours: (id) => this.neighbours(id), stills: (id) => this.stills(id), onClosed: (id) => this.closed(id) })
    this.host.append(this.viewer.dialog)
    followLinks(this.head)
    followLinks(this.empty)
    this.place.addEventListener("click", (event) => this.openTile(event))
    this.place.addEventListener("keydown", (event) => this.grid.roam(event))
    this.fresh.addEventListener("click", () => window.scrollTo({ top: 0, behavior: "smooth" }))
  }

  build(place) {
    this.head = h("div", { class: "head" })
    this.empty = h("div", { class: "empty", hidden: true })
    this.place = h("div", { class: "tiles" })
    this.fresh = h("button", { class: "button primary fresh", type: "button", hidden: true })
    this.host = h("section", { class: "gallery", "aria-label": "Gallery" }, this.head, this.empty, this.place, this.fresh)
    place.append(this.host)
  }

  connect() {
    let scheduled = false
    const scroll = () => {
      if (scheduled) return
      scheduled = true
      requestAnimationFrame(() => { scheduled = false; this.grid.draw(); this.drawFresh() })
    }
    window.addEventListener("scroll", scroll, { passive: true })
    window.addEventListener("pano:show", () => {
      if (this.host.getBoundingClientRect().top > innerHeight * 0.6) this.toTop("smooth")
    })
    onAddress((event) => this.noteReturn(event))
    onAddress(() => this.followAddress())
    this.line.listen((message) => message.detail ? this.receiveDetail(message.detail) : this.receive(message))
  }

  // Going back to another selection restores its scroll position.
  noteReturn(event) {
    const key = query({ item: null, t: null })
    if (key !== this.key) this.returning = event.type === "popstate" ? event.state?.scroll ?? 0 : null
    this.key = key
  }

  start() {
    this.key = query({ item: null, t: null })
    this.connect()
    this.detail = this.line.data.detail
    this.returning = Number(sessionStorage.getItem("pano-scroll") ?? 0)
    sessionStorage.removeItem("pano-scroll")
    this.receive(this.line.data)
    this.followAddress()
  }

  // --- Rows.

  receive(message) {
    const changed = this.selection !== message.selection
    if (changed) this.blocks.clear()
    const before = changed ? null : new Set(this.grid.flat.map((moment) => moment.key))
    for (const block of message.blocks) this.blocks.set(block.date, { ...block, rows: unpack(block) })
    this.order = message.order
    this.selection = message.selection
    this.headData = message.head
    this.rebuild()
    if (changed) this.arrive()
    else this.countFresh(before)
  }

  rebuild() {
    const mode = new URLSearchParams(location.search).get("mode") === "files" ? "files" : "moments"
    const noun = mode === "files" ? "file" : "moment"
    const blocks = this.order.map((date) => this.blocks.get(date)).filter(Boolean)
    this.mode = mode
    this.rows = new Map(blocks.flatMap((block) => block.rows).map((row) => [row.id, row]))
    const all = moments([...this.rows.values()], mode)
    this.leads = new Map(all.flatMap((moment) => moment.members.map((row) => [row.id, moment.key])))
    this.grid.set(byDay(all, blocks.map((block) => ({ date: block.date, label: block.label, complete: block.complete, noun }))))
    this.drawHead()
  }

  // A new selection starts at the top; going back restores the scroll position.
  arrive() {
    const scroll = this.returning
    this.returning = null
    this.unseen = 0
    this.drawFresh()
    if (scroll != null) window.scrollTo({ top: scroll, behavior: "instant" })
    else if (this.place.getBoundingClientRect().top < 0) this.toTop("instant")
    this.grid.draw()
  }

  toTop(behavior) {
    this.host.scrollIntoView({ block: "start", behavior })
  }

  countFresh(before) {
    const first = this.grid.flat.findIndex((moment) => before.has(moment.key))
    const above = first < 0 ? 0 : first
    this.unseen = (this.unseen ?? 0) + above
    this.drawFresh()
  }

  drawFresh() {
    if (this.place.getBoundingClientRect().top > 0) this.unseen = 0
    this.fresh.hidden = !this.unseen
    this.fresh.textContent = this.unseen ? `${this.unseen} new ↑` : ""
  }

  drawHead() {
    const { text, problems, call, empty, more } = this.headData
    const [files, kinds] = text.split(/(?<=:) /)
    refill(this.head, h("h2", {}, files, kinds ? h("span", {}, ` ${kinds}`) : null),
      h("span", { class: "problems" }, problems.map((problem) => h("a", {
        class: "chip warn", "data-go": true, "data-key": `s-${problem.state}`, "aria-current": problem.on ? "true" : null,
        href: query({ state: problem.on ? null : problem.state, item: null, t: null }),
        title: problem.on ? "Show all states again" : "Show only these" }, problem.text))),
      more ? h("span", { class: "muted" }, more) : null, asDataFrame(call))
    this.empty.hidden = !empty
    if (empty) refill(this.empty, h("p", { class: "big" }, empty.text), h("p", {}, empty.links.map(({ label, patch }) =>
      h("a", { class: "chip", href: query({ ...patch, item: null, t: null }), "data-go": true }, label))))
  }

  // --- The open item.

  followAddress() {
    const params = new URLSearchParams(location.search)
    const mode = params.get("mode") === "files" ? "files" : "moments"
    if (mode !== this.mode) this.rebuild()
    this.grid.refreshLinks()
    const id = params.get("item")
    const at = params.has("t") ? Number(params.get("t")) : null
    this.at = Number.isFinite(at) ? at : null
    if (!id) return this.viewer.hide()
    const row = this.rows.get(id)
    if (row) this.viewer.show(row, this.at)
    else if (this.viewer.row?.id !== id && this.viewer.waiting !== id) this.viewer.wait(id)
    this.receiveDetail()
  }

  receiveDetail(detail = this.detail) {
    this.detail = detail
    if (detail && detail.id === new URLSearchParams(location.search).get("item")) this.viewer.receive(detail, this.at)
  }

  openTile(event) {
    const link = event.target.closest("a.tile")
    if (!link || !isPlainClick(event)) return
    event.preventDefault()
    this.grid.current = link.dataset.key
    go(query({ item: link.dataset.key, t: null }))
  }

  neighbours(id) {
    const flat = this.grid.flat
    const index = flat.findIndex((moment) => moment.key === this.leads.get(id))
    return { index, total: flat.length, previous: flat[index - 1]?.lead, next: index < 0 ? null : flat[index + 1]?.lead }
  }

  // The uploads with a picture that share a tile with this one, in order of time.
  stills(id) {
    const moment = this.grid.flat.find(({ key }) => key === this.leads.get(id))
    const seen = moment?.members.filter((row) => row.thumb) ?? []
    return seen.length > 1 ? seen : []
  }

  closed(id) {
    const key = this.leads.get(id)
    if (key) this.grid.reveal(key)
  }
}

export const gallery = (place, line) => new Gallery(place, line).start()
