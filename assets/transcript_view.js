// Draws the transcript: one list item for each turn, changed only where the turn changed.

import { drawAnswer, sourcesOf } from "./answer.js"
import { el } from "./dom.js"
import { isOpen } from "./transcript.js"
import { turnInWords } from "./words.js"

/** `list` is an <ol>; `actions` are stop(id) and again(id); `announce(words)` reaches those who listen to the page. */
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

  /** Shows these turns; `filesOf(turn)` are the files that a turn still waits for. */
  draw(turns, filesOf) {
    for (const [id, item] of this.#items) {
      if (!turns.some((turn) => turn.id === id)) {
        item.element.remove()
        this.#items.delete(id)
      }
    }
    for (const turn of turns) {
      if (!this.#items.has(turn.id)) {
        const item = new TurnView(turn, this.#actions, this.#announce)
        this.#items.set(turn.id, item)
        this.#list.append(item.element)
      }
      this.#items.get(turn.id).draw(turn, turnInWords(turn, filesOf(turn)))
    }
  }
}

class TurnView {
  #actions
  #announce
  #turn = null
  #words = null
  #text = document.createTextNode("")
  #answer = el("div", { class: "answer-text", dir: "auto" })
  #after = el("div", { class: "answer-after" })
  #status = el("p", { class: "status" })
  #buttons = el("p", { class: "turn-buttons" })

  constructor(turn, actions, announce) {
    this.#actions = actions
    this.#announce = announce
    const about = turn.documents.map(({ name }) => el("li", {}, el("bdi", { text: name })))
    this.element = el(
      "li",
      { class: "turn" },
      el(
        "article",
        { class: "question", "aria-label": "Question" },
        el("p", { class: "question-text", dir: "auto", text: turn.message }),
        about.length > 0 ? el("ul", { class: "about", "aria-label": "About" }, ...about) : null,
      ),
      el("article", { class: "answer", "aria-label": "Answer" }, this.#answer, this.#status, this.#after, this.#buttons),
    )
  }

  draw(turn, words) {
    if (turn !== this.#turn) {
      this.#drawText(turn)
      this.#drawAfter(turn)
      this.#drawButtons(turn)
      this.element.dataset.status = turn.status
    }
    if (words !== this.#words) {
      this.#status.textContent = words ?? ""
      this.#status.hidden = words === null
    }
    const isNews = turn.status !== this.#turn?.status || turn.late !== this.#turn.late
    this.#turn = turn
    this.#words = words
    if (isNews) this.#tell(turn, words)
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
      this.#buttons.replaceChildren(...buttons)
    }
  }

  // Spoken when a turn's state changes, not at every piece of a streamed answer, which nobody could follow.
  #tell(turn, words) {
    if (turn.status === "done") this.#announce(`Answer: ${[turn.text, ...turn.late].join("\n")}`)
    else if (words && (!isOpen(turn) || turn.status === "running" || turn.status === "waiting")) this.#announce(words)
  }
}
