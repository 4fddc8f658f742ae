// Optional help: arrow keys and swipes step, and a key frame seeks in its clip. A classic
// script, because browsers load no modules for pages that are opened from a disk.
(function () {
  "use strict"
  /** @param {string} rel */
  function go(rel) {
    const link = document.querySelector('a[rel="' + rel + '"]')
    if (link instanceof HTMLAnchorElement) location.href = link.href
  }

  document.addEventListener("keydown", function (event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return
    if (event.target instanceof HTMLVideoElement) return
    if (event.key === "ArrowLeft") go("prev")
    else if (event.key === "ArrowRight") go("next")
    else if (event.key === "Escape") go("up")
  })

  /** @type {HTMLElement | null} */
  const stage = document.querySelector(".stage")
  const video = document.querySelector("video")
  if (stage && !video) {
    /** @type {Touch | null} */
    let from = null
    stage.addEventListener("touchstart", function (event) {
      from = event.touches.length === 1 ? event.touches[0] : null
    }, { passive: true })
    stage.addEventListener("touchend", function (event) {
      const isZoomed = window.visualViewport && window.visualViewport.scale > 1.05
      if (!from || event.touches.length || isZoomed) return
      const to = event.changedTouches[0]
      const x = to.clientX - from.clientX
      if (Math.abs(x) > 60 && Math.abs(x) > 2 * Math.abs(to.clientY - from.clientY)) go(x > 0 ? "prev" : "next")
    }, { passive: true })
  }

  document.addEventListener("click", function (event) {
    const key = event.target instanceof Element ? event.target.closest("[data-at]") : null
    if (!key || !video || event.ctrlKey || event.metaKey) return
    event.preventDefault()
    video.currentTime = Number(key.getAttribute("data-at"))
    video.play()
    video.scrollIntoView()
  })
})()
