// The SHA-256 of a file, by which the server sees whether it got all of it as it is.

import { Sha256 } from "./sha256.js"

const AT_ONCE = 8 * 1024 * 1024 // more than this is never in memory: a larger file is read in pieces
const PIECE = 1024 * 1024

const known = new WeakMap() // file -> promise: one that goes on after a break need not be read for this again

/** 64 hex digits; null where the file cannot be read. */
export function sha256Of(file) {
  const isSmall = file.size <= AT_ONCE && globalThis.crypto?.subtle
  if (!known.has(file)) known.set(file, (isSmall ? atOnce(file) : inPieces(file)).catch(() => null))
  return known.get(file)
}

// By the browser itself, which is quicker, but wants the whole file, and a page that came over https or from this machine.
async function atOnce(file) {
  const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer())
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("")
}

// The page goes on living between the pieces.
async function inPieces(file) {
  const sha256 = new Sha256()
  for (let at = 0; at < file.size; at += PIECE) {
    sha256.update(new Uint8Array(await file.slice(at, at + PIECE).arrayBuffer()))
  }
  return sha256.end()
}
