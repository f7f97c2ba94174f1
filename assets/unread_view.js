// The files that could not be read, as one line above the shelf once the conversation has gone on without them.

import { el } from "./dom.js"
import { hasFocus } from "./focus.js"
import { plainName } from "./plain_name.js"
import { fileInWords, unreadCountInWords } from "./words.js"

export class UnreadView {
  #box
  #actions
  #files = []

  /** `box` is a <details> with a summary, a list and a button; `actions` are removeAll() and left(), called after it. */
  constructor(box, actions) {
    this.#box = box
    this.#actions = actions
    box.querySelector("button").addEventListener("click", actions.removeAll)
  }

  draw(files) {
    const isSame = files.length === this.#files.length && files.every((file, index) => file === this.#files[index])
    if (isSame) return
    this.#files = files
    this.#box.querySelector("summary").textContent = unreadCountInWords(files.length)
    const items = files.map((file) => el("li", {}, el("bdi", { class: "unread-name", text: plainName(file.name) }), ` ${fileInWords(file)}`))
    this.#box.querySelector("ul").replaceChildren(...items)
    if (files.length === 0 && hasFocus(this.#box)) this.#actions.left()
    this.#box.hidden = files.length === 0
    this.#box.open &&= files.length > 0
  }
}
