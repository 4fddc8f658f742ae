// The viewer: one file at full size above the page, with its clip, its neighbours and details.
//
// The address (item, t) determines what it shows. It opens at once with the gallery's row, and
// adds the server's details when they arrive.

import { asDataFrame, copyButton, h, icon, isPlainClick, refill } from "./dom.js"
import { followLinks, go, goBackTo, query } from "./links.js"
import { UNSHOWABLE, clipPath, isMoving, mediaPath, mergedStrip } from "./media.js"
import { Player } from "./player.js"
import { clock } from "./words.js"
import { Zoom } from "./zoom.js"

export class Viewer {
  constructor({ neighbours, stills, onClosed }) {
    this.neighbours = neighbours
    this.stills = stills
    this.onClosed = onClosed
    this.build()
    this.zoom = new Zoom(this.stage, { onSwipe: (step) => this.step(step), onTap: () => this.player?.toggle() })
    this.dialog.addEventListener("cancel", (event) => { event.preventDefault(); this.close() })
    this.dialog.addEventListener("keydown", (event) => this.key(event))
    followLinks(this.strip)
    followLinks(this.stage)
    followLinks(this.aside)
  }

  build() {
    const button = (name, label, click) => h("button", { class: "button", type: "button", "aria-label": label, title: label, onclick: click }, icon(name))
    this.title = h("div", { class: "title", "aria-live": "polite" })
    this.place = h("span", { class: "place" })
    this.downloads = h("span", { class: "downloads" })
    this.stage = h("div", { class: "stage", tabindex: "0", role: "group", "aria-label": "Picture" })
    this.strip = h("div", { class: "strip", "aria-label": "Pictures of this moment", role: "group" })
    this.controls = h("div", { class: "control-slot" })
    this.aside = h("aside", { "aria-label": "Details" })
    this.before = button("left", "Previous picture (←)", () => this.step(-1))
    this.after = button("right", "Next picture (→)", () => this.step(1))
    const info = button("info", "Details (i)", () => this.toggleDetails())
    const full = button("full", "Full screen (f)", () => this.fullScreen())
    this.closeButton = button("close", "Close (Esc)", () => this.close())
    this.closeButton.classList.add("close")
    this.before.classList.add("before")
    this.after.classList.add("after")
    this.dialog = h("dialog", { class: "viewer", "aria-label": "Viewer" },
      h("header", {}, this.title, this.place, this.downloads, info, full, this.closeButton),
      h("div", { class: "middle" }, this.stage, this.before, this.after),
      this.controls, this.strip, this.aside)
    if (localStorage.getItem("pano-details") === "off") this.dialog.classList.add("plain")
  }

  // --- Content.

  show(row, at) {
    const same = this.row?.id === row.id && this.dialog.open
    if (same && this.player) {
      if (at != null) this.player.seek(at)
      return
    }
    if (same) return
    this.clear()
    this.row = row
    if (!this.dialog.open) this.open()
    this.drawHead()
    this.drawStage(at)
    this.drawNeighbours()
  }

  // The gallery has no row of this item: wait for the server's details.
  wait(id) {
    this.clear()
    this.waiting = id
    this.title.replaceChildren(h("b", {}, "Loading …"))
    if (!this.dialog.open) this.open()
  }

  clear() {
    this.player?.stop()
    this.player = null
    this.detail = null
    this.waiting = null
    this.row = null
    for (const part of [this.stage, this.controls, this.strip, this.aside, this.downloads, this.place]) part.replaceChildren()
    this.zoom.attach(null)
  }

  receive(detail, at) {
    if (detail.error && (this.waiting === detail.id || this.row?.id === detail.id)) return this.fail(detail.error)
    if (this.waiting === detail.id) this.show(detail.row, at)
    if (this.row?.id !== detail.id) return
    this.detail = detail
    this.row = { ...this.row, ...detail.row }
    this.drawHead()
    this.drawDownloads()
    this.drawStrip()
    this.drawAside()
    this.drawReason()
    if (this.player) Object.assign(this.player.clip, { fps: detail.fps, duration_s: detail.duration_s })
    else if (!this.stage.firstChild) this.drawStage(at)
    this.drawClipLink()
  }

  fail(error) {
    this.title.replaceChildren(h("b", {}, "Not found"))
    this.stage.replaceChildren(this.note("This link does not match any upload in the library", error))
  }

  drawHead() {
    const { row, detail } = this
    const badges = detail?.badges ?? []
    this.title.replaceChildren(h("b", {}, row.camera),
      h("span", {}, detail?.when ?? `${row.date} ${clock(row.wall)}`),
      ...badges.map(({ text, tone, title }) => h("span", { class: `badge ${tone}`, title }, text)))
  }

  drawNeighbours() {
    const { index, total, previous, next } = this.neighbours(this.row.id)
    this.before.disabled = !previous
    this.after.disabled = !next
    this.place.textContent = index >= 0 ? `${(index + 1).toLocaleString("en")} of ${total.toLocaleString("en")}` : ""
    for (const one of [next, previous]) if (one && !isMoving(one) && !UNSHOWABLE.has(one.state)) new Image().src = mediaPath(one)
  }

  drawStage(at) {
    const { row } = this
    if (UNSHOWABLE.has(row.state)) return this.drawNothing()
    if (isMoving(row)) this.drawClip(at)
    else this.drawPicture()
  }

  drawPicture() {
    const { row } = this
    const picture = h("img", { class: "full", src: mediaPath(row), alt: `${row.camera}, ${row.date} ${clock(row.wall)}`, draggable: "false" })
    const blur = row.thumb ? h("img", { class: "soft", src: `thumb/${row.thumb}.jpg`, alt: "", draggable: "false" }) : null
    const sheet = h("div", { class: "sheet" }, blur, picture)
    picture.addEventListener("load", () => blur?.remove())
    picture.addEventListener("error", () => {
      if (this.row?.id === row.id) sheet.append(this.note("This picture cannot be shown", "The file may have been removed, or cannot be decoded. Only its thumbnail is available."))
      picture.remove()
    })
    this.stage.replaceChildren(sheet)
    this.zoom.attach(sheet)
  }

  drawClip(at) {
    const { row } = this
    const clip = {
      src: clipPath(row), download: `${clipPath(row)}?download=1`, label: `Clip of ${row.camera}, ${row.date} ${clock(row.wall)}`,
      poster: row.thumb ? `thumb/${row.thumb}.jpg` : null, wall: row.wall, span_s: row.span, isCut: row.state === "partial",
      codec: row.codec ?? this.detail?.codec, at,
    }
    this.player = new Player(clip, { onTime: (seconds) => this.markTime(seconds), onDuration: () => this.drawStrip() })
    const sheet = h("div", { class: "sheet" }, this.player.video)
    this.stage.replaceChildren(sheet, this.player.message)
    this.controls.replaceChildren(this.player.controls)
    this.zoom.attach(sheet)
  }

  drawNothing() {
    const { row } = this
    const words = {
      damaged: ["Nothing in this file can be read", "It was cut off or damaged during the upload."],
      unsupported: ["This format is not supported", "The file itself may be intact: download it and open it with another program."],
      empty: ["This file is empty", "The camera created it but wrote nothing to it, for example because the disk was full."],
      missing: ["This file is gone", "It is in the catalog, but no longer in the upload folder."],
      culled: ["This file was removed to free space", "Its thumbnails are kept."],
    }[row.state]
    const kept = row.thumb ? h("img", { class: "kept", src: `thumb/${row.thumb}.jpg`, alt: "The thumbnail" }) : null
    this.stage.replaceChildren(h("div", { class: `sheet ${kept ? row.state : ""}` }, kept, this.note(...words)))
  }

  drawReason() {
    const place = this.stage.querySelector(".note p.reason")
    if (place && this.detail.reason) place.textContent = this.detail.reason
    if (this.detail.culled) this.stage.querySelector(".note h3")?.replaceChildren(this.detail.culled)
  }

  note(title, text) {
    return h("div", { class: "note" }, icon("warn"), h("h3", {}, title), h("p", {}, text), h("p", { class: "reason" }))
  }

  // A snapshot of a clip links to its moment in the clip.
  drawClipLink() {
    const of = this.detail.clip
    if (!of || this.row.kind === "clip" || this.stage.querySelector(".play-clip")) return
    this.stage.append(h("a", { class: "button primary play-clip", href: query({ item: of.id, t: of.at }), "data-go": true },
      icon("play"), `Play the clip from ${clock(this.row.wall)}`))
  }

  drawDownloads() {
    const { row, detail } = this
    if (["missing", "culled", "empty"].includes(row.state)) return
    const link = (href, name, label) => h("a", { class: "button text", href, download: true }, icon(name), h("span", {}, label))
    const mp4 = isMoving(row) && !UNSHOWABLE.has(row.state)
    this.downloads.replaceChildren(...[
      mp4 ? link(`${clipPath(row)}?download=1${detail.codec === "hevc" ? "&transcode=1" : ""}`, "download", "MP4") : null,
      link(`${mediaPath(row)}?download=1`, mp4 ? "file" : "download", mp4 ? "Original" : "Download"),
    ].filter(Boolean))
  }

  drawStrip() {
    if (!this.detail) return
    const clip = this.row.kind === "clip" ? this.row.id : this.detail.clip?.id
    const still = (frame) => {
      const href = frame.id ? query({ item: frame.id, t: null }) : query({ item: clip, t: frame.t })
      const current = frame.id === this.row.id
      const name = !frame.id ? "Key frame" : frame.kind === "clip" ? "Clip" : "Snapshot"
      return h("a", { href, "data-replace": true, class: frame.id ? "still" : "key", "data-t": frame.id ? null : frame.t, "data-key": frame.id ?? `t${frame.t}`,
        "aria-current": current ? "true" : null, "aria-label": `${name} ${clock(frame.wall)}` },
        h("img", { src: `thumb/${frame.thumb}.jpg`, alt: "", decoding: "async", loading: "lazy" }),
        h("span", {}, frame.id ? icon(frame.kind === "clip" ? "play" : "camera") : null, clock(frame.wall)))
    }
    refill(this.strip, this.frames(clip).map(still))
    for (const link of this.strip.children) link.addEventListener("click", (event) => this.followStill(event, link))
    this.strip.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" })
  }

  // The clip's key frames and snapshots, with the other pictures and clips of the same moment.
  frames(clip) {
    return mergedStrip(this.detail.strip, this.stills(this.row.id), clip, this.row.date)
  }

  followStill(event, link) {
    if (!isPlainClick(event)) return
    event.preventDefault()
    go(link.getAttribute("href"), { replace: true })
    if (link.dataset.t && this.player) this.player.seek(Number(link.dataset.t))
    else if (link.dataset.t) this.showKept(link)
  }

  // A clip that was removed cannot seek: only its key frames are left.
  showKept(link) {
    const kept = this.stage.querySelector(".kept")
    if (kept) kept.src = link.querySelector("img").src
    for (const other of this.strip.children) other.classList.toggle("now", other === link)
  }

  markTime(seconds) {
    const keys = [...this.strip.querySelectorAll(".key")]
    const now = keys.filter((link) => Number(link.dataset.t) <= seconds + 0.05).at(-1)
    for (const link of keys) link.classList.toggle("now", link === now)
    if (now && now !== this.now) this.strip.scrollTo({ left: now.offsetLeft - this.strip.clientWidth / 2, behavior: "smooth" })
    this.now = now
  }

  drawAside() {
    const { detail } = this
    this.aside.replaceChildren(
      h("dl", {}, detail.facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
      copyButton("Copy link", () => this.linkHere()), asDataFrame(detail.call))
  }

  // The link includes the position in the clip.
  linkHere() {
    const now = this.player?.video.currentTime
    return new URL(query({ item: this.row.id, t: now ? now.toFixed(1) : null }), location.href).href
  }

  // --- Actions.

  open() {
    this.dialog.showModal()
    document.documentElement.style.overflow = "hidden"
    // Not on a button: the space bar must play, not close.
    this.stage.focus()
  }

  step(direction) {
    if (!this.row) return
    const { previous, next } = this.neighbours(this.row.id)
    const target = direction < 0 ? previous : next
    if (target) go(query({ item: target.id, t: null }), { replace: true })
  }

  close() {
    goBackTo(query({ item: null, t: null }))
  }

  hide() {
    if (!this.dialog.open) return
    const last = this.row?.id
    this.clear()
    this.dialog.close()
    document.documentElement.style.overflow = ""
    this.onClosed(last)
  }

  toggleDetails() {
    const off = this.dialog.classList.toggle("plain")
    localStorage.setItem("pano-details", off ? "off" : "on")
    this.zoom.apply()
  }

  fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen()
    else this.dialog.requestFullscreen?.()
  }

  key(event) {
    if (event.metaKey || event.ctrlKey || event.altKey) return
    const typing = event.target.tagName === "INPUT"
    if (typing && /^(Arrow|Home|End|Page)/.test(event.key)) return
    if (this.zoom.key(event.key) || this.act(event)) {
      event.preventDefault()
      event.stopPropagation()
    }
  }

  act(event) {
    const onButton = /^(BUTTON|A|SUMMARY)$/.test(event.target.tagName)
    const acts = {
      ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1),
      ArrowUp: () => this.stripStep(-1), ArrowDown: () => this.stripStep(1),
      ",": () => this.player?.step(-1), ".": () => this.player?.step(1),
      "[": () => this.player?.faster(-1), "]": () => this.player?.faster(1),
      i: () => this.toggleDetails(), f: () => this.fullScreen(),
      d: () => this.downloads.querySelector("a")?.click(),
      " ": onButton ? null : () => this.player?.toggle(),
    }
    acts[event.key]?.()
    return Boolean(acts[event.key])
  }

  stripStep(direction) {
    const all = [...this.strip.children]
    const here = all.findIndex((link) => link.matches("[aria-current], .now"))
    all[here < 0 ? 0 : here + direction]?.click()
  }
}
