// The connection to the server: opens it, keeps it alive, opens it again, and carries frames both ways.

import { meaningOf, pauseBefore } from "./closes.js"
import { frameLog, logOpened } from "./wire_log.js"

const SUBPROTOCOL = "miva.v1"
const OPENING_MS = 10_000 // until `hello` is there
const PING_EVERY_MS = 25_000
const ANSWER_WITHIN_MS = 10_000

/** The chat's address on the server that this page came from. */
export function chatAddress({ protocol, host }) {
  return `${protocol === "https:" ? "wss:" : "ws:"}//${host}/ws/chat/`
}

export class Connection {
  #url
  #events
  #log = frameLog(location.search)
  #socket = null
  #isOpen = false
  #failures = 0
  #loginEnded = false
  #retry = null
  #alarm = null // opening takes too long, a ping is due, or its answer is

  /**
   * `events`: onState(state), onFrame(frame), onClosed(meaning) and renewLogin(), which resolves when this browser's
   * cookies are fresh. A state is {kind: "connecting"}, {kind: "open"}, {kind: "waiting", words, until} or
   * {kind: "signed out"}.
   */
  constructor(url, events) {
    this.#url = url
    this.#events = events
    addEventListener("online", () => this.tryNow())
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.tryNow())
  }

  get isOpen() {
    return this.#isOpen
  }

  open() {
    this.#retry = null
    this.#events.onState({ kind: "connecting" })
    const socket = new WebSocket(this.#url, [SUBPROTOCOL])
    this.#socket = socket
    this.#alarmIn(OPENING_MS, () => this.#giveUp(socket))
    socket.onopen = () => logOpened(this.#url)
    socket.onmessage = ({ data }) => this.#socket === socket && this.#received(data)
    socket.onclose = ({ code }) => this.#socket === socket && this.#closed(code)
  }

  /** Sends one frame; the caller has looked at `isOpen`. */
  send(frame) {
    this.#log("→", frame)
    this.#socket.send(JSON.stringify(frame))
  }

  /** Does not wait for the rest of a pause. */
  tryNow() {
    if (this.#retry === null) return
    clearTimeout(this.#retry)
    this.open()
  }

  #received(data) {
    const frame = JSON.parse(data)
    this.#log("←", frame)
    if (frame.type === "hello") {
      this.#isOpen = true
      this.#failures = 0
      this.#loginEnded = false
    }
    this.#stayAwake()
    if (frame.type === "pong") return
    this.#events.onFrame(frame)
    if (frame.type === "hello") this.#events.onState({ kind: "open" })
  }

  // Every frame shows that the line lives; after a silence we ask, and a line that does not answer is dead.
  #stayAwake() {
    const socket = this.#socket
    if (!this.#isOpen) return
    this.#alarmIn(PING_EVERY_MS, () => {
      this.send({ type: "ping" })
      this.#alarmIn(ANSWER_WITHIN_MS, () => this.#giveUp(socket))
    })
  }

  // A dead line may take minutes to report its close, so it is counted as closed at once.
  #giveUp(socket) {
    socket.close()
    this.#closed(1006)
  }

  #closed(code) {
    clearTimeout(this.#alarm)
    this.#socket = null
    this.#isOpen = false
    const meaning = meaningOf(code)
    this.#events.onClosed(meaning)
    if (meaning.login) this.#renewLogin()
    else this.#tryLater(meaning)
  }

  #tryLater(meaning) {
    const pause = pauseBefore(this.#failures++, meaning)
    this.#events.onState({ kind: "waiting", words: meaning.words, until: Date.now() + pause })
    this.#retry = setTimeout(() => this.open(), pause)
  }

  // Once only: where fresh cookies are not let in either, somebody has to sign in.
  async #renewLogin() {
    if (this.#loginEnded) return this.#events.onState({ kind: "signed out" })
    this.#loginEnded = true
    try {
      await this.#events.renewLogin()
    } catch {
      this.#loginEnded = false // the server did not answer, so nothing is known about the login
      return this.#tryLater(meaningOf(1006))
    }
    this.open()
  }

  #alarmIn(ms, ring) {
    clearTimeout(this.#alarm)
    this.#alarm = setTimeout(ring, ms)
  }
}
