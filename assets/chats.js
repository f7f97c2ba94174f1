// The conversations that this page has open: their transcripts and shelves, and which of them is shown.

import { drop, lose } from "./in_use.js"
import { emptyShelf, shelve } from "./shelf.js"
import { apply, emptyTranscript } from "./transcript.js"
import { isOpen } from "./turn.js"

export class Chats {
  #byLabel = new Map()
  #label
  #changed

  /** `changed(event)` is called after every event. */
  constructor(changed) {
    this.#changed = changed
  }

  /**
   * All of them: {conversation, transcript, shelf, dropped, gone, isOpening, isRecalling}. `dropped` are documents that
   * were taken off here, `gone` those that the server has not any more; `isOpening` holds while the server is to tell
   * what is in it, `isRecalling` while its messages are fetched because the log does not hold them any more.
   */
  get all() {
    return [...this.#byLabel.values()]
  }

  get shown() {
    return this.#byLabel.get(this.#label)
  }

  /** The conversation of a label, or undefined. */
  of(label) {
    return this.#byLabel.get(label)
  }

  /** The conversation that a turn stands in, and the turn. */
  find(id) {
    for (const chat of this.all) {
      const turn = chat.transcript.turns.find((one) => one.id === id)
      if (turn) return { chat, turn }
    }
    return { chat: undefined, turn: undefined }
  }

  /** Shows a conversation; `isOpening` where it is not of this page, and the server is to tell what is in it. */
  show(label, { isOpening = false } = {}) {
    this.#label = label
    this.#add(label, isOpening)
  }

  /** The server cannot tell now what is in a conversation; one of which nothing is known is not empty for that. */
  waitFor(label) {
    const chat = this.#byLabel.get(label)
    const isUnknown = chat.transcript.seq === 0 && chat.transcript.turns.length === 0
    this.#byLabel.set(label, { ...chat, isOpening: chat.isOpening || isUnknown })
  }

  /** The server has told, or has nothing to tell. */
  opened(label) {
    this.#byLabel.set(label, { ...this.#byLabel.get(label), isOpening: false })
  }

  /** Takes an event of the server's or the page's; one without a conversation is for whichever knows its id. */
  tell(event) {
    if (event.type === "kept") this.#add(event.conversation, false)
    for (const [label, chat] of this.#byLabel) {
      if (event.conversation !== undefined && event.conversation !== label) continue
      const transcript = apply(chat.transcript, event)
      const shelf = shelve(chat.shelf, event)
      const dropped = drop(chat.dropped, event)
      const gone = lose(chat.gone, event)
      const isRecalling = event.type === "gap" || (chat.isRecalling && event.type !== "recalled")
      this.#byLabel.set(label, { ...chat, transcript, shelf, dropped, gone, isRecalling })
    }
    this.#changed(event)
  }

  forget(label) {
    this.#byLabel.delete(label)
  }

  #add(label, isOpening) {
    if (this.#byLabel.has(label)) return
    const empty = { transcript: emptyTranscript(label), shelf: emptyShelf(), dropped: [], gone: [], isRecalling: false }
    this.#byLabel.set(label, { conversation: label, ...empty, isOpening })
  }
}

/** Whether something is still to come in a conversation. */
export const isBusy = ({ transcript }) => transcript.turns.some(isOpen)

/** Whether the server may have heard of a conversation. */
export const mayExist = ({ transcript, isOpening }) =>
  isOpening || transcript.seq > 0 || transcript.turns.some(({ isOut, turn }) => isOut || turn !== null)
