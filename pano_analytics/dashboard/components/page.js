// The page as a whole: parts are put in their places, tied to the server, and brought back after a cut.

const lines = {}

function mount() {
  history.scrollRestoration = "manual"
  const first = JSON.parse(document.getElementById("pano-first").textContent)
  for (const [name, part] of Object.entries(PARTS)) {
    lines[name] = new Line(name, first[name])
    part(document.getElementById(`pano-${name}`), lines[name])
  }
}

// Called by the page's one Panel component once it stands.
function connect(model) {
  model.on("msg:custom", (text) => {
    const { part, message } = JSON.parse(text)
    lines[part].receive(message)
  })
  for (const line of Object.values(lines)) line.connect(model)
  model.send_msg({ ready: true })
  Bokeh.documents[0].on_event("connection_lost", recover)
  document.documentElement.dataset.connected = "true"
}

// The server may have been restarted, the laptop asleep: all that was chosen
// lives in the address, so that loading the page again brings it back.
let recovering = false
async function recover() {
  if (recovering) return
  recovering = true
  document.getElementById("pano-lost").hidden = false
  for (let wait = 500; !(await isAlive()); wait = Math.min(5000, wait * 1.5)) await new Promise((done) => setTimeout(done, wait))
  sessionStorage.setItem("pano-scroll", String(scrollY))
  const video = document.querySelector("dialog.viewer video")
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
