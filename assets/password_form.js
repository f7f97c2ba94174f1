// The field for a locked file's password. It stays while a password is tried, so that the keyboard does not get lost.

import { el } from "./dom.js"
import { hasFocus } from "./focus.js"
import { plainName } from "./plain_name.js"
import { WRONG_PASSWORD } from "./words.js"

let count = 0

export class PasswordForm {
  #isTrying = false
  #field
  #wrong = el("p", { class: "chip-wrong", id: `password-wrong-${(count += 1)}`, text: WRONG_PASSWORD, hidden: true })

  /** `unlock(id, password)` tries one; `announce(words)` speaks. */
  constructor(file, unlock, announce) {
    const name = plainName(file.name)
    this.#field = el("input", {
      type: "password",
      autocomplete: "off",
      required: true,
      placeholder: "Password",
      "aria-label": `Password of ${name}`,
    })
    const submit = (event) => {
      event.preventDefault()
      if (this.#isTrying) return
      announce(`${name}: trying the password`)
      unlock(file.id, this.#field.value)
    }
    const open = el("button", { class: "primary", text: "Open" })
    this.element = el("form", { class: "chip-password", onsubmit: submit }, this.#wrong, this.#field, open)
  }

  /** Shows whether a password is being tried, and whether the last one was wrong: then the keyboard goes back to it. */
  draw({ status, passwordTried }) {
    const wasTrying = this.#isTrying
    this.#isTrying = status !== "locked"
    const isWrong = passwordTried && !this.#isTrying
    this.element.setAttribute("aria-busy", this.#isTrying)
    this.#field.readOnly = this.#isTrying
    this.#wrong.hidden = !isWrong
    this.#field.setAttribute("aria-invalid", isWrong)
    if (isWrong) this.#field.setAttribute("aria-describedby", this.#wrong.id)
    else this.#field.removeAttribute("aria-describedby")
    if (!isWrong || !wasTrying) return
    if (hasFocus(this.element)) {
      this.#field.focus()
      this.#field.select()
    }
    this.element.scrollIntoView({ block: "nearest" }) // it has grown by the sentence
  }
}
