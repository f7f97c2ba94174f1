// Says in words how the connection is and who is speaking.

import { csrfToken } from "./http.js"

const SECOND_MS = 1000
const BRIEF_MS = 700

export class ConnectionView {
  #root
  #banner
  #announce
  #ticking = null
  #appearing = null

  /** `root` holds the parts of chat.html's header and banner; `actions` is {tryNow()}. */
  constructor(root, { tryNow }, announce) {
    this.#root = root
    this.#announce = announce
    this.#banner = root.querySelector("#banner")
    root.querySelector("#try-now").addEventListener("click", tryNow)
    // Signing in elsewhere changes the token, so the one that this page was made with may be old.
    const form = root.querySelector("#sign-out")
    form.addEventListener("submit", () => (form.elements.csrfmiddlewaretoken.value = csrfToken()))
  }

  /** Shows a state of Connection. */
  show(state) {
    clearInterval(this.#ticking)
    this.#root.documentElement.dataset.connection = state.kind.replace(" ", "-")
    const line = { open: "Connected", connecting: "Connecting…", waiting: "Not connected", "signed out": "Signed out" }
    this.#text("#connection", line[state.kind])
    this.#root.querySelector("#connection").title = state.isTwin ? "Over HTTP: something on the way lets no WebSocket through" : ""
    if (state.kind === "waiting") {
      this.#text("#banner-words", state.words)
      this.#tick(state.until)
      this.#ticking = setInterval(() => this.#tick(state.until), SECOND_MS)
      this.#appearing ??= setTimeout(() => this.#appear(`${state.words} The page connects again by itself.`), BRIEF_MS)
    } else if (state.kind === "signed out") {
      this.#text("#banner-words", "Please sign in to chat.")
      this.#text("#banner-countdown", "")
      this.#appear("Please sign in to chat.")
    } else if (state.kind === "connecting") this.#text("#banner-countdown", "Connecting…")
    else this.#disappear()
    this.#root.querySelector("#try-now").hidden = state.kind !== "waiting"
    this.#root.querySelector("#banner-sign-in").hidden = state.kind !== "signed out"
  }

  // A break that is over in a moment moves nothing on the page; between two tries the banner stays.
  #appear(words) {
    if (!this.#banner.hidden) return
    this.#banner.hidden = false
    this.#announce(words)
  }

  #disappear() {
    clearTimeout(this.#appearing)
    this.#appearing = null
    if (this.#banner.hidden) return
    this.#banner.hidden = true
    this.#announce("Connected.")
  }

  /** Shows the `user` of hello: {name, guest}. */
  showUser({ name, guest }) {
    this.#text("#speaker", guest ? "Guest" : name)
    for (const part of this.#root.querySelectorAll("[data-for]")) {
      part.hidden = (part.dataset.for === "guest") !== guest
    }
  }

  #tick(until) {
    const seconds = Math.max(1, Math.ceil((until - Date.now()) / SECOND_MS))
    this.#text("#banner-countdown", `Trying again in ${seconds} s.`)
  }

  #text(selector, words) {
    this.#root.querySelector(selector).textContent = words
  }
}
