// One WebSocket, from its opening to its end, with a watchdog that notices when it is dead.

import { LOST_CODE } from "./closes.js"
import { logOpened } from "./wire_log.js"

const SUBPROTOCOL = "miva.v1"
const OPENING_MS = 10_000 // until `hello` is there
const PING_EVERY_MS = 25_000
const ANSWER_WITHIN_MS = 10_000
const ANSWER_AT_ONCE_MS = 4_000

export class SocketLine {
  carriesBytes = true
  #socket
  #handlers
  #isOpen = false
  #hasEnded = false
  #alarm = null // opening takes too long, a ping is due, or its answer is

  /** `handlers`: onFrame(frame), `hello` being the first, and onClosed(code), once. */
  constructor(url, handlers) {
    this.#handlers = handlers
    const socket = new WebSocket(url, [SUBPROTOCOL])
    this.#socket = socket
    this.#alarmIn(OPENING_MS, () => this.#end(LOST_CODE))
    socket.onopen = () => logOpened(url)
    socket.onmessage = ({ data }) => !this.#hasEnded && this.#received(JSON.parse(data))
    socket.onclose = ({ code }) => this.#end(code)
  }

  send(frame) {
    this.#socket.send(JSON.stringify(frame))
  }

  /** Sends an ArrayBuffer as a binary frame. */
  sendBytes(bytes) {
    this.#socket.send(bytes)
  }

  /** The page is out of sight: a socket costs next to nothing, so it stays. */
  rest() {}

  /** Asks at once whether the line still lives: after the device slept, or the network changed. */
  check() {
    if (this.#isOpen) this.#ping(ANSWER_AT_ONCE_MS)
  }

  /** Ends the line without a word to anybody. */
  close() {
    this.#hasEnded = true
    clearTimeout(this.#alarm)
    this.#socket.close()
  }

  #received(frame) {
    if (frame.type === "hello") this.#isOpen = true
    // Every frame shows that the line lives; after a silence we ask, and a line that does not answer is dead.
    if (this.#isOpen) this.#alarmIn(PING_EVERY_MS, () => this.#ping(ANSWER_WITHIN_MS))
    if (frame.type !== "pong") this.#handlers.onFrame(frame)
  }

  #ping(patience) {
    this.send({ type: "ping" })
    this.#await(this.#socket.bufferedAmount, patience)
  }

  // A ping waits behind what was sent before it: while that gets less, the line is slow and not dead.
  #await(backlog, patience) {
    this.#alarmIn(patience, () => {
      const { bufferedAmount: left } = this.#socket
      if (left < backlog) this.#await(left, patience)
      else this.#end(LOST_CODE)
    })
  }

  // A dead line may take minutes to report its close, so it is counted as closed at once.
  #end(code) {
    if (this.#hasEnded) return
    this.close()
    this.#handlers.onClosed(code)
  }

  #alarmIn(ms, ring) {
    clearTimeout(this.#alarm)
    this.#alarm = setTimeout(ring, ms)
  }
}
