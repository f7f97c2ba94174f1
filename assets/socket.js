// The connection to the server: opens a line, opens it again when it breaks, and carries frames both ways.
// A line is a WebSocket, or where sockets are cut, its twin over HTTP; then a socket is tried again from time to time.

import { LOST_CODE, meaningOf, OFFLINE_CODE, pauseBefore } from "./closes.js"
import { SocketLine } from "./socket_line.js"
import { TwinLine } from "./twin_line.js"
import { frameLog } from "./wire_log.js"

const DEAF_SOCKETS = 2 // so many in a row without a word, while HTTP is answered: sockets are cut here
const CUT = "miva.cut" // remembered for this tab, so that a page loaded again need not find out again
const PROBE_MS = 5_000
const RESTART_TRIES = 6 // half a minute at most: a server that is away for longer is not just restarting
const SHORT_MS = 5_000 // a line that held no longer than this does not count as a success
const [FIRST_SOCKET_AGAIN_MS, LAST_SOCKET_AGAIN_MS] = [10_000, 300_000]

/** The chat's address on the server that this page came from. */
export function chatAddress({ protocol, host }) {
  return `${protocol === "https:" ? "wss:" : "ws:"}//${host}/ws/chat/`
}

export class Connection {
  #addresses
  #events
  #log = frameLog(location.search)
  #line = null
  #isOpen = false
  #count = 0
  #openedAt = 0
  #failures = 0
  #deafSockets = 0
  #loginEnded = false
  #why = null // the meaning of the last close, while no line is open
  #retry = null
  #again = { line: null, timer: null, pause: FIRST_SOCKET_AGAIN_MS } // a socket, tried beside the twin

  /**
   * `addresses`: {socket, page}. `events`: onState(state), onFrame(frame), onClosed(meaning) and renewLogin(), which
   * resolves when this browser's cookies are fresh. A state is {kind: "connecting"}, {kind: "open", isTwin},
   * {kind: "waiting", words, until} or {kind: "signed out"}.
   */
  constructor(addresses, events) {
    this.#addresses = addresses
    this.#events = events
    addEventListener("online", () => this.#wake())
    addEventListener("offline", () => this.#offline())
    addEventListener("pageshow", ({ persisted }) => persisted && this.#wake())
    document.addEventListener("resume", () => this.#wake())
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#line?.rest() : this.#wake()))
  }

  get isOpen() {
    return this.#isOpen
  }

  /** Which line this is; another number is another line. */
  get count() {
    return this.#count
  }

  /** Whether files go over this line, by sendBytes. */
  get carriesBytes() {
    return this.#isOpen && this.#line.carriesBytes
  }

  open() {
    clearTimeout(this.#retry)
    this.#retry = null
    this.#events.onState({ kind: "connecting" })
    this.#take(sessionStorage.getItem(CUT) ? this.#twin() : this.#socket())
  }

  /** Sends one frame; the caller has looked at `isOpen`. */
  send(frame) {
    this.#log("→", frame)
    this.#line.send(frame)
  }

  sendBytes(bytes) {
    this.#log("→", { bytes: bytes.byteLength })
    this.#line.sendBytes(bytes)
  }

  /** Does not wait for the rest of a pause. */
  tryNow() {
    if (this.#retry !== null) this.open()
  }

  // Back from sleep, on another network, or looked at again: what seems to live may be dead, and what was dead may live.
  #wake() {
    if (this.#retry !== null) this.open()
    else if (this.#isOpen) {
      this.#line.check()
      if (!this.#line.carriesBytes) this.#trySocketIn(0)
    }
  }

  // A socket may take minutes to notice; should the browser be wrong, the next try is up in a moment.
  #offline() {
    if (!this.#isOpen) return
    const line = this.#line
    line.close()
    this.#closed(line, OFFLINE_CODE)
  }

  #socket() {
    const line = new SocketLine(this.#addresses.socket, {
      onFrame: (frame) => this.#received(line, frame),
      onClosed: (code) => this.#closed(line, code),
    })
    return line
  }

  #twin() {
    const line = new TwinLine(this.#addresses.page, {
      onFrame: (frame) => this.#received(line, frame),
      onClosed: (code) => this.#closed(line, code),
    })
    return line
  }

  #take(line) {
    this.#line = line
    this.#count += 1
  }

  #received(line, frame) {
    if (line === this.#again.line) return frame.type === "hello" ? this.#changeOver(line, frame) : undefined
    if (line !== this.#line) return undefined
    this.#log("←", frame)
    if (frame.type === "hello") return this.#greeted(frame)
    return this.#events.onFrame(frame)
  }

  #greeted(hello) {
    this.#isOpen = true
    this.#why = null
    this.#openedAt = Date.now()
    this.#loginEnded = false
    const isTwin = !this.#line.carriesBytes
    if (!isTwin) this.#deafSockets = 0
    this.#events.onFrame(hello)
    this.#events.onState({ kind: "open", isTwin })
    if (isTwin) this.#trySocketIn(this.#again.pause)
  }

  #closed(line, code) {
    if (line === this.#again.line) {
      this.#again.line = null
      return this.#trySocketIn(this.#again.pause)
    }
    if (line !== this.#line) return undefined
    const hasOpened = this.#isOpen
    const wasDeaf = !hasOpened && code === LOST_CODE && line.carriesBytes
    const hasHeld = hasOpened && Date.now() - this.#openedAt > SHORT_MS
    if (hasHeld) this.#failures = 0
    this.#stopTryingSockets()
    this.#line = null
    this.#isOpen = false
    const meaning = meaningOf(code)
    // That nobody is there yet says less than how the line before it ended, as long as that may be why.
    if (hasOpened || code !== LOST_CODE || this.#why === null || this.#failures >= RESTART_TRIES) this.#why = meaning
    this.#events.onClosed(meaning)
    if (meaning.login && (line.carriesBytes || hasHeld)) return this.#renewLogin()
    if (wasDeaf && ++this.#deafSockets >= DEAF_SOCKETS) return this.#findOut(meaning)
    return this.#tryLater(meaning)
  }

  // Sockets open and say nothing, or do not open: is it the server that is away, or something between that cuts them?
  async #findOut(meaning) {
    const signal = AbortSignal.timeout(PROBE_MS)
    const answer = await fetch("/api/health/live/", { cache: "no-store", signal }).catch(() => null)
    if (this.#line !== null) return undefined
    if (!answer?.ok) return this.#tryLater(meaning)
    sessionStorage.setItem(CUT, "1")
    return this.open()
  }

  #trySocketIn(pause) {
    this.#stopTryingSockets()
    this.#again.pause = Math.min(LAST_SOCKET_AGAIN_MS, Math.max(FIRST_SOCKET_AGAIN_MS, pause * 2))
    this.#again.timer = setTimeout(() => (this.#again.line = this.#socket()), pause)
  }

  #stopTryingSockets() {
    clearTimeout(this.#again.timer)
    this.#again.line?.close()
    this.#again.line = null
  }

  // A socket has come through: it goes on where the twin stands.
  #changeOver(line, hello) {
    this.#again.line = null
    sessionStorage.removeItem(CUT)
    this.#line.close()
    this.#isOpen = false
    this.#events.onClosed(meaningOf(LOST_CODE))
    this.#take(line)
    this.#log("←", hello)
    this.#greeted(hello)
  }

  #tryLater(meaning) {
    const pause = pauseBefore(this.#failures++, meaning)
    this.#events.onState({ kind: "waiting", words: this.#why.words, until: Date.now() + pause })
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
      this.#why = meaningOf(LOST_CODE)
      return this.#tryLater(this.#why)
    }
    return this.open()
  }
}
