// Draws the files of the conversation as chips, with how far each one is and what to do where one is stuck.

import { el } from "./dom.js"
import { hasFocus, passFocusTo } from "./focus.js"
import { PasswordForm } from "./password_form.js"
import { plainName } from "./plain_name.js"
import { isSettled, isTryingPassword, mayBeTriedAgain } from "./shelf.js"
import { fileInWords, newsInWords } from "./words.js"

/**
 * `list` is a <ul>; `actions` are remove(id), unlock(id, password), retry(id), and left(), called where what was pressed is
 * gone; `announce(words)` speaks.
 */
export class ShelfView {
  #list
  #actions
  #announce
  #chips = new Map() // file id -> Chip

  constructor(list, actions, announce) {
    this.#list = list
    this.#actions = actions
    this.#announce = announce
  }

  draw(files) {
    for (const [id, chip] of this.#chips) if (!files.some((file) => file.id === id)) this.#remove(id, chip)
    for (const file of files) {
      if (!this.#chips.has(file.id)) {
        const chip = new Chip(file, this.#actions, this.#announce)
        this.#chips.set(file.id, chip)
        this.#list.append(chip.element)
      }
      this.#chips.get(file.id).draw(file)
    }
    this.#list.hidden = files.length === 0
  }

  #remove(id, { element }) {
    const next = element.nextElementSibling?.querySelector(".chip-remove:not([hidden])")
    if (hasFocus(element)) next ? passFocusTo(next) : this.#actions.left()
    element.remove()
    this.#chips.delete(id)
  }
}

class Chip {
  #actions
  #announce
  #file = null
  #words = el("span", { class: "chip-words" })
  #remove
  #bar = el("progress", { class: "chip-bar", "aria-hidden": "true" })
  #more = el("div", { class: "chip-more" })
  #wayOn = null // what #more holds: "password", "retry" or nothing
  #password

  constructor(file, actions, announce) {
    this.#actions = actions
    this.#announce = announce
    const name = plainName(file.name)
    this.#password = new PasswordForm(file, actions.unlock, announce)
    this.#remove = el("button", {
      type: "button",
      class: "chip-remove",
      "aria-label": `Remove ${name}`,
      title: "Remove",
      text: "×",
      onclick: () => actions.remove(file.id),
    })
    this.element = el(
      "li",
      { class: "chip" },
      el(
        "div",
        { class: "chip-row" },
        el("span", { class: "chip-text" }, el("bdi", { class: "chip-name", title: name, text: name }), this.#words),
        this.#remove,
      ),
      this.#bar,
      this.#more,
    )
  }

  draw(file) {
    if (file === this.#file) return
    const isNews = file.status !== this.#file?.status || file.error !== this.#file.error
    this.#file = file
    this.element.dataset.status = file.status
    this.#words.textContent = fileInWords(file)
    this.#remove.hidden = file.status === "known" // the server cannot be told to leave out the last one
    this.#bar.hidden = isSettled(file) || file.status === "waiting"
    if (file.total > 0) {
      this.#bar.max = file.total
      this.#bar.value = file.done
    } else {
      this.#bar.removeAttribute("value") // under way, nobody knows how far
    }
    this.#drawWayOn(file)
    if (isNews && isSettled(file)) this.#announce(`${plainName(file.name)}: ${newsInWords(file)}`)
  }

  #drawWayOn(file) {
    const wayOn = wayOnWith(file)
    if (wayOn !== this.#wayOn) {
      this.#wayOn = wayOn
      if (hasFocus(this.#more)) this.#actions.left()
      this.#more.replaceChildren(...this.#parts(file))
    }
    if (wayOn === "password") this.#password.draw(file)
  }

  #parts(file) {
    if (this.#wayOn === "password") return [this.#password.element]
    if (this.#wayOn === null) return []
    const retry = () => this.#actions.retry(file.id)
    return [el("button", { type: "button", class: "quiet", text: "Try again", onclick: retry })]
  }
}

const wayOnWith = (file) =>
  file.status === "locked" || isTryingPassword(file) ? "password" : mayBeTriedAgain(file) ? "retry" : null
