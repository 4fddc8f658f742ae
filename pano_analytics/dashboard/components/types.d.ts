// What the server sends (payloads.py) and what the gallery makes of it.

/** The uploads of one camera-day as columns; a column of numbers names an entry of a list. */
export interface Block {
  date: string
  label: string
  complete: boolean
  cameras: string[]
  states: string[]
  /** The badge of each state; empty for a complete upload. */
  words: string[]
  packs: string[]
  codecs: (string | null)[]
  id: string[]
  camera: number[]
  /** Wall-clock seconds of the library's zone since midnight of `date`. */
  wall: number[]
  /** Seconds. */
  span: number[]
  /** 1 for a clip, 0 for a snapshot. */
  kind: number[]
  state: number[]
  thumb: ([number, string] | null)[]
  /** The upload that names the tile: an index in this block, or an id on another day. */
  tile: (number | string)[]
  cover: number[]
  codec: number[]
  doubt: number[]
}

/** One upload. */
export interface Row {
  id: string
  camera: string
  date: string
  wall: number
  span: number
  kind: "clip" | "snapshot"
  state: string
  word: string
  thumb: string | null
  tile: string | number
  isCover: unknown
  codec: string | null
  doubt: unknown
}

/** The uploads that share a tile, in order of time. */
export interface Moment {
  key: string
  lead: Row
  members: Row[]
  stills: Row[]
  clips: Row[]
  face: string | null
  sign: string
}

/** A day of the gallery; `top` and `height` in CSS pixels. */
export interface Day {
  date: string
  label: string
  complete: boolean
  noun?: string
  tiles: Moment[]
  top: number
  height: number
}

/** The layout of a gallery: columns, width of a tile, height of a row. */
export interface Shape {
  columns: number
  tile: number
  row: number
}

/** A selection in the address: camera names, and wall-clock bounds such as "2026-11-20T07". */
export interface Selection {
  cameras: string[]
  from: string | null
  to: string | null
}

declare global {
  interface Window {
    /** Called by the page's one Panel component. */
    pano: { connect(model: any): void }
    Bokeh: any
  }
}
