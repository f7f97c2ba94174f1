// The place where a question is typed: Enter sends, Shift+Enter breaks the line, files may be pasted or picked.

import { hasFocus, passFocusTo } from "./focus.js"
import { askAboutInWords } from "./words.js"

const DRAFT = "miva.draft"

export class Composer {
  #form
  #field
  #actions

  /** `actions` are ask(message), which says whether it took the question, add(files) and stop(). */
  constructor(form, actions) {
    this.#form = form
    this.#actions = actions
    this.#field = form.querySelector("textarea")
    this.#field.value = sessionStorage.getItem(DRAFT) ?? ""
    form.addEventListener("submit", (event) => {
      event.preventDefault()
      this.#send()
    })
    this.#field.addEventListener("keydown", (event) => {
      // isComposing: with an input method, Enter picks a word.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return
      event.preventDefault()
      this.#send()
    })
    this.#field.addEventListener("input", () => this.#changed())
    this.#field.addEventListener("paste", (event) => {
      if (event.clipboardData.files.length === 0) return
      event.preventDefault()
      actions.add(event.clipboardData.files)
    })
    const picker = form.querySelector("#picker")
    form.querySelector("#pick").addEventListener("click", () => picker.click())
    picker.addEventListener("change", () => {
      actions.add(picker.files)
      picker.value = "" // so that the same file can be picked again
    })
    form.querySelector("#stop").addEventListener("click", () => {
      actions.stop()
      this.goOn()
    })
    this.#changed()
  }

  /** Puts words into the field, for the person to send or change. */
  suggest(words) {
    this.#field.value = words
    this.#changed()
    this.focus()
  }

  clear() {
    this.#field.value = ""
    this.#changed()
  }

  focus() {
    this.#field.focus()
  }

  /** What was pressed has done its work, and may be gone: whoever has a keyboard goes on here. */
  goOn() {
    passFocusTo(this.#field)
  }

  /** Shows what the question will be about, and Stop while an answer comes. */
  draw({ files, isAnswering }) {
    this.#field.placeholder = askAboutInWords(files)
    const stop = this.#form.querySelector("#stop")
    if (!isAnswering && hasFocus(stop)) this.goOn()
    stop.hidden = !isAnswering
  }

  /** Says in words why a question was not taken; null takes the words away. */
  complain(words) {
    const complaint = this.#form.querySelector("#complaint")
    complaint.textContent = words ?? ""
    complaint.hidden = words === null
  }

  #send() {
    const message = this.#field.value.trim()
    if (message === "" || !this.#actions.ask(message)) return this.focus()
    this.clear()
    return this.focus()
  }

  #changed() {
    sessionStorage.setItem(DRAFT, this.#field.value)
    this.#form.querySelector("#send").disabled = this.#field.value.trim() === ""
    this.complain(null)
    this.#field.style.height = "auto"
    this.#field.style.height = `${this.#field.scrollHeight}px`
  }
}
