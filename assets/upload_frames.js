// Sends files over the socket, one at a time: `upload`, then binary frames from where the server says it stands.

import { sha256Of } from "./digest.js"

const PIECE = 128 * 1024
// What was sent and the server has not confirmed: about what it takes in a second, so that a long way to the server does
// not make it slow, and yet a question does not wait long behind it, nor anything between here and there has to hold much.
const [LEAST_UNDER_WAY, MOST_UNDER_WAY] = [4 * PIECE, 64 * PIECE]
const PACE_MS = 1_000

export class FrameSender {
  #connection
  #tell
  #queue = []
  #now = null // the Sending that is under way

  /** `tell` gets the shelf's events `sending` and `failed`; the rest the server tells itself. */
  constructor(connection, tell) {
    this.#connection = connection
    this.#tell = tell
  }

  /** Queues a file of the shelf with its `content` (a File, or null where it is not here) and maybe a `password`. */
  put(item) {
    this.drop(item.id)
    this.#queue.push(item)
    this.#next()
  }

  /** Stops with a file, at whatever point. */
  drop(id) {
    this.#queue = this.#queue.filter((item) => item.id !== id)
    if (this.#now?.item.id === id) this.#finish(this.#now)
  }

  /** Forgets everything, as the line is gone. */
  clear() {
    this.#queue = []
    this.#now = null
  }

  /** Takes what the server says; others' files are none of our business. */
  hear(frame) {
    const now = this.#now
    if (!now || frame.id !== now.item.id) return
    if (frame.type === "error") this.#fail(now, frame)
    if (frame.type === "document" && frame.document.status === "failed" && now.offset !== null) this.#finish(now)
    if (frame.type === "progress" && frame.stage === "upload") this.#stand(now, frame)
  }

  async #next() {
    if (this.#now || this.#queue.length === 0) return
    const item = this.#queue.shift()
    const now = new Sending(item)
    this.#now = now
    const { id, name, size, mediaType, password, content } = item
    const sha256 = content ? await sha256Of(content) : null
    if (this.#now !== now) return
    this.#connection.send({
      type: "upload",
      id,
      name,
      media_type: mediaType,
      size,
      ...(sha256 ? { sha256 } : {}),
      ...(password ? { password } : {}),
    })
  }

  #stand(now, { done, total }) {
    const { id, content, gone } = now.item
    if (done < total && content === null) return this.#fail(now, { code: "gone", message: gone })
    this.#tell({ type: "sending", id, done, total })
    if (done >= total) return this.#finish(now)
    now.confirm(done)
    if (!now.isBusy) void this.#send(now)
    return undefined
  }

  async #send(now) {
    const { content, size } = now.item
    now.isBusy = true
    while (this.#now === now && now.offset < size && now.hasRoom) {
      let piece
      try {
        piece = await content.slice(now.offset, now.offset + PIECE).arrayBuffer()
      } catch {
        return this.#fail(now, { code: "gone", message: "This file was changed or moved, and cannot be read any more." })
      }
      if (this.#now !== now) return undefined
      this.#connection.sendBytes(piece)
      now.offset += piece.byteLength
    }
    now.isBusy = false // the next confirmation goes on
    return undefined
  }

  #fail(now, { code, message }) {
    this.#tell({ type: "failed", id: now.item.id, code, message })
    this.#finish(now)
  }

  #finish(now) {
    if (this.#now !== now) return
    this.#now = null
    void this.#next()
  }
}

/** A file being sent: how far it has been sent, how far the server has it, and how much may lie between the two. */
class Sending {
  offset = null // null until the server has told it
  isBusy = false
  #confirmed = 0
  #mostUnderWay = LEAST_UNDER_WAY
  #pace = null // {at, done}: how much was confirmed at the beginning of this second

  constructor(item) {
    this.item = item
  }

  get hasRoom() {
    return this.offset - this.#confirmed < this.#mostUnderWay
  }

  confirm(done) {
    const at = Date.now()
    this.offset ??= done
    this.#confirmed = done
    this.#pace ??= { at, done }
    if (at - this.#pace.at < PACE_MS) return
    this.#mostUnderWay = Math.min(MOST_UNDER_WAY, Math.max(LEAST_UNDER_WAY, done - this.#pace.done))
    this.#pace = { at, done }
  }
}
