// Says in words how the connection is and who is speaking.

import { csrfToken } from "./upload.js"

const SECOND_MS = 1000

export class ConnectionView {
  #root
  #banner
  #announce
  #ticking = null

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
    if (state.kind === "waiting") {
      this.#text("#banner-words", state.words)
      this.#tick(state.until)
      this.#ticking = setInterval(() => this.#tick(state.until), SECOND_MS)
      this.#announce(`${state.words} The page connects again by itself.`)
    } else if (state.kind === "signed out") {
      this.#text("#banner-words", "Please sign in to chat.")
      this.#text("#banner-countdown", "")
      this.#announce("Please sign in to chat.")
    } else if (state.kind === "open" && !this.#banner.hidden) {
      this.#announce("Connected.")
    }
    // While trying again the words stay, so that the page does not flicker between two tries.
    if (state.kind === "connecting") this.#text("#banner-countdown", "Connecting…")
    else this.#banner.hidden = state.kind === "open"
    this.#root.querySelector("#try-now").hidden = state.kind !== "waiting"
    this.#root.querySelector("#banner-sign-in").hidden = state.kind !== "signed out"
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
