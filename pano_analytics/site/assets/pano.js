// All this page can do without: arrow keys and a swipe step, and a key frame seeks the clip.
(function () {
  "use strict"
  function go(rel) {
    var link = document.querySelector('a[rel="' + rel + '"]')
    if (link) location.href = link.href
  }

  document.addEventListener("keydown", function (event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return
    if (event.target.tagName === "VIDEO") return
    var rel = { ArrowLeft: "prev", ArrowRight: "next", Escape: "up" }[event.key]
    if (rel) go(rel)
  })

  var stage = document.querySelector(".stage")
  var video = document.querySelector("video")
  if (stage && !video) {
    var from = null
    stage.addEventListener("touchstart", function (event) {
      from = event.touches.length === 1 ? event.touches[0] : null
    }, { passive: true })
    stage.addEventListener("touchend", function (event) {
      if (!from || event.touches.length || (window.visualViewport && visualViewport.scale > 1.05)) return
      var to = event.changedTouches[0]
      var x = to.clientX - from.clientX
      if (Math.abs(x) > 60 && Math.abs(x) > 2 * Math.abs(to.clientY - from.clientY)) go(x > 0 ? "prev" : "next")
    }, { passive: true })
  }

  document.addEventListener("click", function (event) {
    var key = event.target.closest ? event.target.closest("[data-at]") : null
    if (!key || !video || event.ctrlKey || event.metaKey) return
    event.preventDefault()
    video.currentTime = Number(key.getAttribute("data-at"))
    video.play()
    video.scrollIntoView()
  })
})()
