// Uploads as the server sends them, and the tiles they share.

import { clock, count, length } from "./words.js"

/**
 * Return the uploads of a block, in its order.
 * @param {import("./types").Block} block
 * @returns {import("./types").Row[]}
 */
export function unpack(block) {
  return block.id.map((id, i) => ({
    id, camera: block.cameras[block.camera[i]], date: block.date, wall: block.wall[i], span: block.span[i],
    kind: block.kind[i] ? "clip" : "snapshot", state: block.states[block.state[i]],
    word: block.words[block.state[i]],
    thumb: locator(block, block.thumb[i]),
    tile: block.id[block.tile[i]] ?? block.tile[i], isCover: block.cover[i],
    codec: block.codecs[block.codec[i]], doubt: block.doubt[i],
  }))
}

/**
 * @param {import("./types").Block} block
 * @param {[number, string] | null} thumb
 */
const locator = (block, thumb) => thumb && `${block.packs[thumb[0]]}/${thumb[1]}`

/**
 * Return the tiles of `rows` (newest first), in that order. In the mode "moments", uploads to
 * which the server gave the same tile share it; otherwise each upload has its own.
 * @param {import("./types").Row[]} rows
 * @param {string} mode
 * @returns {import("./types").Moment[]}
 */
export function moments(rows, mode) {
  /** @type {Map<string | number, import("./types").Row[]>} */
  const groups = new Map()
  for (const row of rows) {
    const key = mode === "moments" ? row.tile : row.id
    const group = groups.get(key)
    if (group) group.push(row)
    else groups.set(key, [row])
  }
  return [...groups.values()].map((newestFirst) => {
    const members = newestFirst.reverse()
    // The first clip names the tile, else the first picture, whatever uploads follow.
    const lead = members.find((row) => row.kind === "clip") ?? members[0]
    const stills = members.filter((row) => row.kind !== "clip" && row !== lead)
    const clips = members.filter((row) => row.kind === "clip")
    const face = (members.find((row) => row.isCover) ?? lead).thumb
    return { key: lead.id, lead, members, stills, clips, face, sign: members.map((row) => `${row.id}${row.state}${row.thumb}${row.isCover}`).join() }
  })
}

/**
 * Return the days that have tiles, in the order of `blocks`; a tile is on the day of its lead.
 * @param {import("./types").Moment[]} all
 * @param {{ date: string, label: string, complete: boolean, noun?: string }[]} blocks
 * @returns {import("./types").Day[]}
 */
export function byDay(all, blocks) {
  /** @type {Map<string, import("./types").Day>} */
  const days = new Map(blocks.map((block) => [block.date, { ...block, tiles: [], top: 0, height: 0 }]))
  for (const moment of all) days.get(moment.lead.date)?.tiles.push(moment)
  return [...days.values()].filter((day) => day.tiles.length)
}

/** @param {{ span: number }[]} clips */
export const lengthOf = (clips) => length(clips.reduce((sum, clip) => sum + clip.span, 0))

/** @param {import("./types").Moment} moment */
export function tileLabel({ lead, stills, clips }) {
  const parts = [lead.camera, clock(lead.wall)]
  if (clips.length) parts.push(clips.length > 1 ? `${count(clips.length, "clip")} of ${lengthOf(clips)}` : `clip of ${lengthOf(clips)}`)
  if (stills.length) parts.push(`with ${count(stills.length, "snapshot")}`)
  if (lead.word) parts.push(lead.word)
  if (lead.doubt) parts.push("time uncertain")
  return parts.join(", ")
}
