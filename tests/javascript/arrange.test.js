import assert from "node:assert/strict"
import { test } from "node:test"
import { GAP, between, offsetOf, placeOf, shapeOf, stack, vertical } from "../../pano_analytics/dashboard/components/arrange.js"

const tiles = (day, count) => Array.from({ length: count }, (_, n) => ({ key: `${day}-${n}` }))
const daysOf = (...counts) => counts.map((count, day) => ({ date: String(day), tiles: tiles(day, count) }))

test("tiles and gaps fill the width exactly, in two columns at least", () => {
  for (let width = 1; width < 3000; width += 7) {
    const { columns, tile } = shapeOf(width)
    assert.ok(columns >= 2)
    assert.ok(Math.abs(columns * tile + (columns - 1) * GAP - width) < 1e-6, `${width}`)
  }
})

test("what is between two heights is what a look at every tile finds", () => {
  const shape = shapeOf(1000)
  const days = daysOf(1, 17, 4, 40)
  const height = stack(days, shape)
  for (let from = -300; from < height; from += 37) {
    const to = from + 500
    for (const day of days) {
      const { first, last } = between(day, shape, from, to)
      day.tiles.forEach((_, index) => {
        const top = day.top + offsetOf(index, shape).top
        if (top < to && top + shape.row > from) assert.ok(index >= first && index < last, `${from} ${day.date} ${index}`)
      })
      assert.ok(last - first <= (Math.ceil(500 / shape.row) + 1) * shape.columns)
    }
  }
})

test("days do not overlap, and each tile is found in its place", () => {
  const shape = shapeOf(390)
  const days = daysOf(3, 8, 1)
  const height = stack(days, shape)
  days.slice(1).forEach((day, n) => assert.equal(day.top, days[n].top + days[n].height + GAP))
  assert.equal(height, days[2].top + days[2].height + GAP)
  for (const day of days) day.tiles.forEach(({ key }, index) => {
    const place = placeOf(days, shape, key)
    assert.deepEqual([place.day, place.index, place.top], [day, index, day.top + offsetOf(index, shape).top])
  })
  assert.equal(placeOf(days, shape, "none"), null)
})

test("up and down keep the column, within and across days", () => {
  const shape = { ...shapeOf(1000), columns: 4 }
  const days = daysOf(6, 3, 9)
  const at = (day, index) => ({ day: days[day], index })
  assert.equal(vertical(days, shape, at(0, 1), 1).key, "0-5")
  assert.equal(vertical(days, shape, at(0, 3), 1).key, "0-5", "the shorter last row ends at its last tile")
  assert.equal(vertical(days, shape, at(0, 5), 1).key, "1-1")
  assert.equal(vertical(days, shape, at(1, 2), 1).key, "2-2")
  assert.equal(vertical(days, shape, at(1, 2), -1).key, "0-5")
  assert.equal(vertical(days, shape, at(1, 0), -1).key, "0-4")
  assert.equal(vertical(days, shape, at(0, 2), -1), null)
  assert.equal(vertical(days, shape, at(2, 8), 1), null)
})
