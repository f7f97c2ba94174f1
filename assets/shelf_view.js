// Draws the files of the conversation as chips, with how far each one is and what to do where one is stuck.

import { el } from "./dom.js"
import { isSettled, mayBeTriedAgain } from "./shelf.js"
import { fileInWords } from "./words.js"

/** `list` is a <ul>; `actions` are remove(id), unlock(id, password) and retry(id); `announce(words)` speaks. */
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
    for (const [id, chip] of this.#chips) {
      if (!files.some((file) => file.id === id)) {
        chip.element.remove()
        this.#chips.delete(id)
      }
    }
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
}

class Chip {
  #actions
  #announce
  #file = null
  #words = el("span", { class: "chip-words" })
  #remove
  #bar = el("progress", { class: "chip-bar", "aria-hidden": "true" })
  #more = el("div", { class: "chip-more" })

  constructor(file, actions, announce) {
    this.#actions = actions
    this.#announce = announce
    this.#remove = el("button", {
      type: "button",
      class: "chip-remove",
      "aria-label": `Remove ${file.name}`,
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
        el("span", { class: "chip-text" }, el("bdi", { class: "chip-name", title: file.name, text: file.name }), this.#words),
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
    if (!isNews) return
    this.#more.replaceChildren(...this.#waysOn(file))
    if (isSettled(file)) this.#announce(`${file.name}: ${fileInWords(file)}`)
  }

  #waysOn(file) {
    if (file.status === "locked") return [this.#passwordForm(file)]
    if (mayBeTriedAgain(file)) {
      return [el("button", { type: "button", class: "quiet", text: "Try again", onclick: () => this.#actions.retry(file.id) })]
    }
    return []
  }

  #passwordForm(file) {
    const field = el("input", {
      type: "password",
      autocomplete: "off",
      required: true,
      placeholder: "Password",
      "aria-label": `Password of ${file.name}`,
    })
    const submit = (event) => {
      event.preventDefault()
      this.#actions.unlock(file.id, field.value)
    }
    return el(
      "form",
      { class: "chip-password", onsubmit: submit },
      file.passwordTried ? el("p", { class: "chip-wrong", text: "That password does not open it." }) : null,
      field,
      el("button", { class: "primary", text: "Open" }),
    )
  }
}
