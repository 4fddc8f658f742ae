import assert from "node:assert/strict"
import { test } from "node:test"
import { STEPS, hourRange, isSelected, level, nextDay } from "../../pano_analytics/dashboard/components/hours.js"
import { clipPath, isMoving, mergedStrip } from "../../pano_analytics/dashboard/components/media.js"
import { SPEEDS, nextSpeed, scaleOf, within } from "../../pano_analytics/dashboard/components/playing.js"
import { patched } from "../../pano_analytics/dashboard/components/query.js"
import { byDay, moments, tileLabel, unpack } from "../../pano_analytics/dashboard/components/rows.js"
import { WHOLE, kept, swipe, zoomed } from "../../pano_analytics/dashboard/components/view.js"
import { clock, count, length } from "../../pano_analytics/dashboard/components/words.js"

test("clocks", () => {
  assert.equal(clock(0), "00:00:00")
  assert.equal(clock(86399.9), "23:59:59")
  assert.equal(clock(86400 + 61), "00:01:01", "a clip over midnight goes on in the next day")
  assert.equal(clock(-1), "23:59:59")
  assert.equal(clock(45296, false), "12:34")
  assert.equal(length(59.6), "1:00")
  assert.equal(length(-3), "0:00")
  assert.equal(count(1, "clip"), "1 clip")
  assert.equal(count(1234, "clip"), "1,234 clips")
})

test("the query keeps what it does not name, repeats lists, and removes nulls", () => {
  assert.equal(patched("?camera=a&camera=b&from=x", { camera: ["c", "d"], from: null }), "?camera=c&camera=d")
  assert.equal(patched("?from=2026-11-20T07:00", { item: "1" }), "?from=2026-11-20T07:00&item=1")
  assert.equal(patched("?item=1", { item: undefined }), "")
  assert.equal(patched("", { t: 0 }), "?t=0")
  assert.equal(patched("", { camera: "a&b=<c>" }), "?camera=a%26b%3D%3Cc%3E")
  assert.equal(patched("?camera=a", { camera: [] }), "")
})

test("hours of a heatmap", () => {
  assert.equal(level(0), 0)
  STEPS.forEach((step, n) => { assert.equal(level(step), n + 1); assert.equal(level(step - 0.5), n) })
  assert.equal(nextDay("2026-12-31"), "2027-01-01")
  assert.equal(nextDay("2026-03-28"), "2026-03-29")
  assert.deepEqual(hourRange("2026-02-28", 23), { from: "2026-02-28T23", to: "2026-03-01" })
  const day = { cameras: [], from: "2026-11-20", to: "2026-11-21" }
  assert.equal(isSelected(day, "porch", hourRange("2026-11-20", 23)), true)
  assert.equal(isSelected(day, "porch", hourRange("2026-11-21", 0)), false)
  assert.equal(isSelected({ ...day, cameras: ["yard"] }, "porch", hourRange("2026-11-20", 3)), false)
  assert.equal(isSelected({ cameras: [], from: null, to: null }, "porch", hourRange("2026-11-20", 3)), false)
})

const BLOCK = {
  date: "2026-10-25", label: "Sunday", complete: true, cameras: ["porch"], states: ["complete", "partial"], words: ["", "Partial"],
  packs: ["porch/x.pack"], codecs: [null, "h264"],
  id: ["d", "c", "b", "a"], camera: [0, 0, 0, 0], wall: [40, 30, 20, 10], span: [0, 12, 0, 0], kind: [0, 1, 0, 0],
  state: [0, 1, 0, 0], thumb: [[0, "0-9"], null, [0, "9-9"], null], tile: [0, 3, 3, 3], cover: [0, 0, 1, 0],
  codec: [0, 1, 0, 0], doubt: [0, 0, 0, 0],
}

test("the server says what shares a tile; the clip leads it, its cover shows it", () => {
  const rows = unpack(BLOCK)
  assert.equal(rows[0].thumb, "porch/x.pack/0-9")
  assert.equal(rows[1].thumb, null)
  const [alone, moment] = moments(rows, "moments")
  assert.deepEqual(alone.members.map((row) => row.id), ["d"])
  assert.deepEqual(moment.members.map((row) => row.id), ["a", "b", "c"], "in the order of time")
  assert.equal(moment.key, "c")
  assert.equal(moment.face, "porch/x.pack/9-9")
  assert.equal(tileLabel(moment), "porch, 00:00:30, clip of 0:12, with 2 snapshots, Partial")
  assert.equal(moments(rows, "files").length, 4)
})

test("a tile of another day's event is one with it", () => {
  const later = { ...BLOCK, date: "2026-10-26", id: ["e"], camera: [0], wall: [5], span: [0], kind: [0], state: [0], thumb: [null], tile: ["a"], cover: [0], codec: [0], doubt: [0] }
  const earlier = { ...BLOCK, tile: [0, "a", "a", "a"] }
  const all = moments([...unpack(later), ...unpack(earlier)], "moments")
  assert.deepEqual(all.map((moment) => moment.members.map((row) => row.id).join("")), ["abce", "d"])
  const days = byDay(all, [{ date: "2026-10-26", label: "Mon", complete: true }, { date: "2026-10-25", label: "Sun", complete: true }])
  assert.deepEqual(days.map((day) => [day.date, day.tiles.length]), [["2026-10-25", 2]])
})

test("what is in a file decides whether it moves", () => {
  assert.equal(isMoving({ codec: "jpeg", kind: "clip" }), false)
  assert.equal(isMoving({ codec: "h264", kind: "snapshot" }), true)
  assert.equal(isMoving({ codec: null, kind: "clip" }), true)
  assert.equal(clipPath({ camera: "a/b ü", date: "2026-11-20", id: "1f" }), "clip/a%2Fb%20%C3%BC/2026-11-20/1f.mp4")
})

test("the strip has each picture once, in the order of time, over midnight", () => {
  const own = [{ id: null, wall: 86390 }, { id: "s", wall: 86395 }]
  const others = [{ id: "s", wall: 86395, date: "2026-11-20" }, { id: "n", wall: 5, date: "2026-11-21" }, { id: "c", wall: 1 }]
  assert.deepEqual(mergedStrip(own, others, "c", "2026-11-20").map((one) => one.id), [null, "s", "n"])
  assert.equal(mergedStrip([], others, "c", "2026-11-20"), others)
})

test("the clock of a clip", () => {
  assert.equal(scaleOf({ span_s: 20 }, 10), 2)
  assert.equal(scaleOf({ span_s: 20, isCut: true }, 10), 1)
  assert.equal(scaleOf({ span_s: 20 }, 0), 1)
  assert.equal(within(-1, 10), 0)
  assert.equal(within(99, 10), 9.95)
  assert.equal(within(3, 0), 0)
  assert.equal(nextSpeed(4, 1), 4)
  assert.equal(nextSpeed(4, 1, true), SPEEDS[0])
  assert.equal(nextSpeed(1, -1), 0.5)
})

test("the point under the pointer stays there while zooming, and no gap opens", () => {
  let view = WHOLE
  const at = (point, { scale, x }) => (point - x) / scale
  for (const factor of [1.4, 3, 0.5, 1.1]) {
    const before = at(100, view)
    view = zoomed(view, factor, 100, -40)
    assert.ok(Math.abs(at(100, view) - before) < 1e-9)
  }
  assert.equal(zoomed(WHOLE, 99, 0, 0).scale, 10)
  assert.equal(zoomed(WHOLE, 0.1, 0, 0).scale, 1)
  assert.deepEqual(kept({ scale: 2, x: 900, y: -900 }, 400, 200), { scale: 2, x: 200, y: -100 })
  assert.deepEqual([swipe(-80, 10), swipe(80, 10), swipe(80, 50), swipe(30, 0)], [1, -1, 0, 0])
})
