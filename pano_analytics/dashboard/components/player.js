// The clip player: play, seek, speed, and alternatives if the browser cannot play the clip.

import { h, icon } from "./dom.js"
import { nextSpeed, scaleOf, within } from "./playing.js"
import { clock, length } from "./words.js"

const HEVC = 'video/mp4; codecs="hvc1.1.6.L93.B0"'

export class Player {
  // clip: {src, poster, wall, span_s, duration_s, codec, at}; `wall` is the clip's start in
  // wall-clock seconds. The length of the file differs from the time that it covers, so times
  // are scaled by span_s / duration.
  constructor(clip, { onTime, onDuration }) {
    this.clip = clip
    this.onTime = onTime
    this.onDuration = onDuration
    this.video = h("video", { playsinline: true, preload: "auto", poster: clip.poster, "aria-label": clip.label })
    this.video.muted = true
    this.controls = h("div", { class: "controls" })
    this.message = h("div", { class: "message", hidden: true })
    this.buildControls()
    this.listen()
    this.begin()
  }

  begin() {
    const plays = this.clip.codec !== "hevc" || this.video.canPlayType(HEVC)
    if (plays) this.load(this.clip.src)
    else this.cannot()
  }

  load(src) {
    this.message.hidden = true
    this.controls.hidden = false
    this.video.src = src
    this.video.play().catch(() => this.drawPlay())
  }

  buildControls() {
    this.playButton = h("button", { class: "button", type: "button", onclick: () => this.toggle() })
    this.seekBar = h("input", { type: "range", class: "seek", min: "0", max: "1000", value: "0", step: "1", "aria-label": "Position in the clip" })
    this.time = h("span", { class: "time" })
    this.speedButton = h("button", { class: "button speed", type: "button", "aria-label": "Speed", title: "Speed ([ and ])", onclick: () => this.faster(1, true) }, "1×")
    this.soundButton = h("button", { class: "button", type: "button", onclick: () => { this.video.muted = !this.video.muted } })
    this.controls.append(this.playButton, this.seekBar, this.time, this.speedButton, this.soundButton)
    this.seekBar.addEventListener("input", () => this.seek(this.seekBar.value / 1000 * this.length))
    this.drawPlay()
    this.drawSound()
    this.drawTime()
  }

  listen() {
    const on = (names, what) => names.split(" ").forEach((name) => this.video.addEventListener(name, what))
    on("play pause ended", () => this.drawPlay())
    on("volumechange", () => this.drawSound())
    on("timeupdate seeked", () => this.drawTime())
    on("loadedmetadata", () => this.ready())
    on("error", () => this.cannot())
  }

  get length() {
    const real = this.video.duration
    return Number.isFinite(real) && real > 0 ? real : this.clip.duration_s || this.clip.span_s || 0
  }

  get scale() {
    return scaleOf(this.clip, this.length)
  }

  ready() {
    if (this.clip.at != null) this.seek(this.clip.at)
    this.clip.at = null
    this.onDuration(this.length)
    this.drawTime()
  }

  seek(seconds) {
    if (this.video.readyState === 0) { this.clip.at = seconds; return }
    this.video.currentTime = within(seconds, this.length)
  }

  toggle() {
    if (this.controls.hidden) return
    if (this.video.paused) this.video.play().catch(() => this.drawPlay())
    else this.video.pause()
  }

  step(direction) {
    this.video.pause()
    this.seek(this.video.currentTime + direction / (this.clip.fps || 15))
  }

  faster(direction, around = false) {
    const speed = nextSpeed(this.video.playbackRate, direction, around)
    this.video.playbackRate = speed
    this.speedButton.textContent = `${speed}×`
  }

  drawPlay() {
    const paused = this.video.paused
    const label = paused ? "Play (space)" : "Pause (space)"
    this.playButton.replaceChildren(icon(paused ? "play" : "pause"))
    this.playButton.setAttribute("aria-label", label)
    this.playButton.title = label
  }

  drawSound() {
    const label = this.video.muted ? "Sound on" : "Sound off"
    this.soundButton.replaceChildren(icon(this.video.muted ? "mute" : "sound"))
    this.soundButton.setAttribute("aria-label", label)
    this.soundButton.title = label
  }

  drawTime() {
    const now = this.video.currentTime
    const wall = clock(this.clip.wall + now * this.scale)
    const share = this.length ? now / this.length : 0
    this.seekBar.value = String(Math.round(share * 1000))
    this.seekBar.style.setProperty("--share", `${share * 100}%`)
    this.seekBar.setAttribute("aria-valuetext", `${length(now)} of ${length(this.length)}, ${wall}`)
    this.time.replaceChildren(h("b", {}, wall), h("span", {}, `${length(now)} / ${length(this.length)}`))
    this.onTime(now)
  }

  cannot() {
    const isHevc = this.clip.codec === "hevc"
    const converted = this.video.src.includes("transcode=1")
    this.controls.hidden = true
    this.message.hidden = false
    this.message.replaceChildren(...[
      h("h3", {}, isHevc && !converted ? "This browser does not play HEVC (H.265)" : "This clip cannot be played here"),
      h("p", {}, converted ? "The converted clip does not play either. You can still download the original."
        : "You can convert it to H.264, which takes a moment, or download it and play it elsewhere."),
      h("p", { class: "actions" },
        converted ? null : h("button", { class: "button primary", type: "button", onclick: () => this.convert() }, icon("play"), "Convert and play"),
        h("a", { class: "button", href: this.clip.download }, icon("download"), "Download")),
    ])
  }

  convert() {
    this.message.hidden = false
    this.message.replaceChildren(h("h3", {}, "Converting to H.264 …"), h("p", {}, "The clip starts automatically when it is ready."))
    this.video.addEventListener("loadeddata", () => { this.message.hidden = true; this.controls.hidden = false }, { once: true })
    this.video.src = `${this.clip.src}?transcode=1`
    this.video.play().catch(() => this.drawPlay())
  }

  stop() {
    this.video.pause()
    this.video.removeAttribute("src")
    // Without this, Chromium keeps the connection of an unused clip open.
    this.video.load()
  }
}
