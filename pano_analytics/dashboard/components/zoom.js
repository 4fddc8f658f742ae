// Pan and zoom of the content of a stage: wheel, pinch, drag, double click, keys.

import { WHOLE, kept, swipe, zoomed } from "./view.js"

const TAP = { time: 300, distance: 24 }

export class Zoom {
  constructor(stage, { onSwipe, onTap }) {
    this.stage = stage
    /** @type {import("./view.js").View} */
    this.view = WHOLE
    /** @type {HTMLElement | null} */
    this.target = null
    this.start = { x: 0, y: 0, moved: false }
    /** @type {{ time: number, x: number, y: number } | null} */
    this.lastTap = null
    this.pointers = new Map()
    this.onSwipe = onSwipe
    this.onTap = onTap
    stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false })
    stage.addEventListener("pointerdown", (event) => this.down(event))
    stage.addEventListener("pointermove", (event) => this.move(event))
    stage.addEventListener("pointerup", (event) => this.up(event))
    stage.addEventListener("pointercancel", (event) => this.forget(event))
    stage.addEventListener("dragstart", (event) => event.preventDefault())
  }

  attach(target) {
    this.target = target
    this.reset()
  }

  reset() {
    this.view = WHOLE
    this.apply()
  }

  apply() {
    this.view = kept(this.view, this.stage.clientWidth, this.stage.clientHeight)
    const { scale, x, y } = this.view
    this.stage.classList.toggle("zoomed", scale > 1)
    this.stage.dataset.scale = scale.toFixed(2)
    if (this.target) this.target.style.transform = scale === 1 ? "" : `translate(${x}px, ${y}px) scale(${scale})`
  }

  // Zoom so that the point of the picture under (clientX, clientY) stays under it.
  by(factor, clientX, clientY) {
    const box = this.stage.getBoundingClientRect()
    const [px, py] = [(clientX ?? box.left + box.width / 2) - box.left - box.width / 2, (clientY ?? box.top + box.height / 2) - box.top - box.height / 2]
    this.view = zoomed(this.view, factor, px, py)
    this.apply()
  }

  pan(dx, dy) {
    this.view = { ...this.view, x: this.view.x + dx, y: this.view.y + dy }
    this.apply()
  }

  toggle(clientX, clientY) {
    this.view.scale > 1 ? this.reset() : this.by(3, clientX, clientY)
  }

  wheel(event) {
    event.preventDefault()
    // A trackpad pinch arrives as a wheel with ctrl and much smaller steps.
    this.by(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), event.clientX, event.clientY)
  }

  down(event) {
    if (event.button !== 0 || event.target.closest("a, button, input")) return
    this.stage.setPointerCapture(event.pointerId)
    if (this.pointers.size === 0) this.start = { x: event.clientX, y: event.clientY, moved: false }
    else this.start.moved = true
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY })
  }

  move(event) {
    const before = this.pointers.get(event.pointerId)
    if (!before) return
    const now = { x: event.clientX, y: event.clientY }
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1]
    if (other) this.pinch(before, now, other)
    else if (this.view.scale > 1) this.pan(now.x - before.x, now.y - before.y)
    this.pointers.set(event.pointerId, now)
    if (Math.hypot(now.x - this.start.x, now.y - this.start.y) > TAP.distance / 3) this.start.moved = true
  }

  pinch(before, now, other) {
    const spread = (point) => Math.hypot(point.x - other.x, point.y - other.y)
    this.by(spread(now) / Math.max(1, spread(before)), (now.x + other.x) / 2, (now.y + other.y) / 2)
    this.pan((now.x - before.x) / 2, (now.y - before.y) / 2)
  }

  up(event) {
    const known = this.pointers.has(event.pointerId)
    this.forget(event)
    if (!known || this.pointers.size) return
    if (!this.start.moved) return this.tap(event)
    const step = swipe(event.clientX - this.start.x, event.clientY - this.start.y)
    if (this.view.scale === 1 && event.pointerType === "touch" && step) this.onSwipe(step)
  }

  // Two taps in one place count as a double click, by touch and by mouse.
  tap(event) {
    const last = this.lastTap
    const isSecond = last && event.timeStamp - last.time < TAP.time
      && Math.hypot(event.clientX - last.x, event.clientY - last.y) < TAP.distance
    this.lastTap = isSecond ? null : { time: event.timeStamp, x: event.clientX, y: event.clientY }
    if (isSecond) this.toggle(event.clientX, event.clientY)
    this.onTap(isSecond)
  }

  forget(event) {
    this.pointers.delete(event.pointerId)
  }

  key(key) {
    const step = 80
    const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }
    if (key === "+" || key === "=") this.by(1.4)
    else if (key === "-") this.by(1 / 1.4)
    else if (key === "0") this.reset()
    else if (this.view.scale > 1 && moves[key]) this.pan(...moves[key])
    else return false
    return true
  }
}
