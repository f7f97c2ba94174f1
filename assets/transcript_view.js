// Draws the transcript: one list item for each turn, changed only where the turn changed.

import { drawAnswer, sourcesOf } from "./answer.js"
import { el } from "./dom.js"
import { hasFocus } from "./focus.js"
import { plainName } from "./plain_name.js"
import { isOpen } from "./turn.js"

/**
 * `list` is an <ol>; `actions` are stop(id), again(id), and left(), called where the button that was pressed is gone;
 * `announce(words)` reaches those who listen to the page.
 */
export class TranscriptView {
  #list
  #actions
  #announce
  #items = new Map() // turn id -> TurnView

  constructor(list, actions, announce) {
    this.#list = list
    this.#actions = actions
    this.#announce = announce
  }

  /** Shows these turns in their order; `wordsOf(turn)` is what stands where an answer has not come, or null. */
  draw(turns, wordsOf) {
    for (const [id, item] of this.#items) {
      if (!turns.some((turn) => turn.id === id)) {
        if (hasFocus(item.element)) this.#actions.left()
        item.element.remove()
        this.#items.delete(id)
      }
    }
    for (const [index, turn] of turns.entries()) {
      if (!this.#items.has(turn.id)) this.#items.set(turn.id, new TurnView(turn, this.#actions, this.#announce))
      const item = this.#items.get(turn.id)
      if (this.#list.children[index] !== item.element) this.#list.insertBefore(item.element, this.#list.children[index] ?? null)
      item.draw(turn, wordsOf(turn))
    }
  }
}

class TurnView {
  #actions
  #announce
  #turn = null
  #words = undefined // nothing is drawn yet
  #about = el("ul", { class: "about", "aria-label": "About" })
  #text = document.createTextNode("")
  #answer = el("div", { class: "answer-text", dir: "auto" })
  #after = el("div", { class: "answer-after" })
  #status = el("p", { class: "status" })
  #buttons = el("p", { class: "turn-buttons" })

  constructor(turn, actions, announce) {
    this.#actions = actions
    this.#announce = announce
    this.element = el(
      "li",
      { class: "turn" },
      el(
        "article",
        { class: "question", "aria-label": "Question" },
        el("p", { class: "question-text", dir: "auto", text: turn.message }),
        this.#about,
      ),
      el("article", { class: "answer", "aria-label": "Answer" }, this.#answer, this.#status, this.#after, this.#buttons),
    )
  }

  draw(turn, words) {
    if (turn !== this.#turn) {
      this.#drawAbout(turn)
      this.#drawText(turn)
      this.#drawAfter(turn)
      this.#drawButtons(turn)
      this.element.dataset.status = turn.status
    }
    if (words !== this.#words) {
      this.#status.textContent = words ?? ""
      this.#status.hidden = words === null
    }
    // What was over when it came into sight is old: nobody waits to hear it.
    const isNews = this.#turn ? turn.status !== this.#turn.status || turn.late !== this.#turn.late : isOpen(turn)
    this.#turn = turn
    this.#words = words
    if (isNews) this.#tell(turn, words)
  }

  #drawAbout(turn) {
    if (turn.documents === this.#turn?.documents) return
    const names = turn.documents.map(({ name }) => name).filter(Boolean)
    this.#about.replaceChildren(...names.map((name) => el("li", {}, el("bdi", { text: plainName(name) }))))
    this.#about.hidden = names.length === 0
  }

  #drawText(turn) {
    if (turn.status === "done") {
      if (turn.html !== this.#turn?.html || turn.text !== this.#turn.text) drawAnswer(this.#answer, turn)
      return
    }
    if (!this.#text.isConnected) this.#answer.replaceChildren(this.#text)
    const shown = this.#text.data
    if (turn.text.startsWith(shown)) this.#text.appendData(turn.text.slice(shown.length))
    else this.#text.data = turn.text
  }

  #drawAfter(turn) {
    if (turn.sources === this.#turn?.sources && turn.late === this.#turn.late) return
    const late = turn.late.map((words) => el("p", { class: "answer-text late", dir: "auto", text: words }))
    this.#after.replaceChildren(...[sourcesOf(turn), ...late].filter((part) => part !== null))
  }

  #drawButtons(turn) {
    const { id, status, repeated } = turn
    const buttons = []
    if (["failed", "cancelled", "lost"].includes(status) && !repeated) {
      buttons.push(el("button", { type: "button", class: "quiet", text: "Ask again", onclick: () => this.#actions.again(id) }))
    }
    if (status === "queued" || status === "waiting") {
      buttons.push(el("button", { type: "button", class: "quiet", text: "Do not ask", onclick: () => this.#actions.stop(id) }))
    }
    if (status === "done" && navigator.clipboard) {
      const copy = el("button", { type: "button", class: "quiet", text: "Copy answer" })
      copy.addEventListener("click", async () => {
        await navigator.clipboard.writeText(turn.text)
        copy.textContent = "Copied"
      })
      buttons.push(copy)
    }
    const shown = [...this.#buttons.children].map((button) => button.textContent).join()
    if (status !== this.#turn?.status || shown !== buttons.map((button) => button.textContent).join()) {
      if (hasFocus(this.#buttons)) this.#actions.left()
      this.#buttons.replaceChildren(...buttons)
    }
  }

  // Spoken when a turn's state changes, not at every piece of a streamed answer, which nobody could follow.
  #tell(turn, words) {
    if (turn.status === "done") this.#announce(`Answer: ${[turn.text, ...turn.late].join("\n")}`)
    else if (words && (!isOpen(turn) || turn.status === "running" || turn.status === "waiting")) this.#announce(words)
  }
}
