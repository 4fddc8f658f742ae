// The whole page: mounts its parts, connects them to the server, reloads after a lost connection.

import { activity } from "./activity.js"
import { address } from "./address.js"
import { bar } from "./bar.js"
import { gallery } from "./gallery.js"
import { Line } from "./line.js"
import { query } from "./links.js"
import { overview } from "./overview.js"

const PARTS = { bar, overview, activity, gallery, address }

/** @type {Record<string, Line>} */
const lines = {}

function byId(id) {
  const element = document.getElementById(id)
  if (!element) throw new Error(`the page has no element ${id}`)
  return element
}

function mount() {
  history.scrollRestoration = "manual"
  const first = JSON.parse(byId("pano-first").textContent ?? "")
  for (const [name, part] of Object.entries(PARTS)) {
    lines[name] = new Line(name, first[name])
    part(byId(`pano-${name}`), lines[name])
  }
}

// Called by the page's one Panel component once it is rendered.
function connect(model) {
  model.on("msg:custom", (text) => {
    const { part, message } = JSON.parse(text)
    lines[part].receive(message)
  })
  for (const line of Object.values(lines)) line.connect(model)
  model.send_msg({ ready: true })
  window.Bokeh.documents[0].on_event("connection_lost", recover)
  document.documentElement.dataset.connected = "true"
}

// The server may have restarted, or the laptop slept. The address holds the whole selection,
// so reloading the page restores it.
let recovering = false
async function recover() {
  if (recovering) return
  recovering = true
  byId("pano-lost").hidden = false
  for (let wait = 500; !(await isAlive()); wait = Math.min(5000, wait * 1.5)) await new Promise((done) => setTimeout(done, wait))
  sessionStorage.setItem("pano-scroll", String(scrollY))
  const video = /** @type {HTMLVideoElement | null} */ (document.querySelector("dialog.viewer video"))
  if (video?.currentTime) history.replaceState(history.state, "", query({ t: video.currentTime.toFixed(1) }))
  location.reload()
}

async function isAlive() {
  try {
    return (await fetch("liveness", { cache: "no-store" })).ok
  } catch {
    return false
  }
}

window.pano = { connect }
mount()
