// Decides when a question goes on the wire, and in which order: after its files are read and while the line is up.

import { newId } from "./dom.js"
import { isComing, isUsable } from "./shelf.js"
import { isOpen } from "./transcript.js"

export class Asker {
  #store
  #connection
  #cancelled = new Set() // turns for which `cancel` has gone out

  /** `store` holds {transcript, shelf} and takes events by tell(event); `connection` is a Connection. */
  constructor(store, connection) {
    this.#store = store
    this.#connection = connection
  }

  /** A new question, about all files on the shelf that can be read. */
  ask(message) {
    const documents = this.#store.shelf.filter(isUsable).map(({ id, name }) => ({ upload: id, name, document: null }))
    this.#store.tell({ type: "asked", id: newId(), message, documents })
    this.sendWhatCanGo()
  }

  /** The same question once more, as a new one, about the same files but for those that turned out to be unreadable. */
  again(id) {
    const { message, documents: before } = this.#turn(id)
    const unreadable = this.#store.shelf.filter((file) => !isUsable(file)).map((file) => file.id)
    const documents = before.filter(({ upload }) => !unreadable.includes(upload))
    this.#store.tell({ type: "repeated", id })
    this.#store.tell({ type: "asked", id: newId(), message, documents })
    this.sendWhatCanGo()
  }

  /** Ends a question, whether it is running, waiting at the server, or still here. */
  stop(id) {
    const turn = this.#turn(id)
    if (turn.status === "waiting") this.#store.tell({ type: "withdrawn", id })
    else {
      this.#store.tell({ type: "stopping", id })
      this.cancelWhatIsStopping()
    }
    this.sendWhatCanGo()
  }

  /** A question can be stopped before the server gave it the name by which it is cancelled, so this is called again then. */
  cancelWhatIsStopping() {
    for (const turn of this.#store.transcript.turns) {
      if (turn.stopping && turn.turn && isOpen(turn) && this.#connection.isOpen && !this.#cancelled.has(turn.turn)) {
        this.#cancelled.add(turn.turn)
        this.#connection.send({ type: "cancel", turn: turn.turn })
      }
    }
  }

  /** Sends the waiting questions, oldest first, up to the first that has to wait on. Called at every change. */
  sendWhatCanGo() {
    for (const turn of this.#store.transcript.turns) {
      if (turn.status !== "waiting") continue
      const files = this.filesOf(turn)
      if (files.some(isComing)) return this.#store.tell({ type: "held", id: turn.id, waitsFor: "documents" })
      if (!this.#connection.isOpen) return this.#store.tell({ type: "held", id: turn.id, waitsFor: "connection" })
      const unread = files.find((file) => !isUsable(file))
      if (unread) {
        const message = `This was not asked, because ${unread.name} could not be read.`
        this.#store.tell({ type: "refused", id: turn.id, message })
        continue
      }
      this.#put(turn)
    }
    return undefined
  }

  /** The files on the shelf that a question is about. */
  filesOf(turn) {
    return turn.documents.map(({ upload }) => this.#store.shelf.find(({ id }) => id === upload)).filter(Boolean)
  }

  #put(turn) {
    // Named only now: a file that was sent twice, for its password, is another document for the server. A file that
    // has left the shelf keeps the name it had, where the question is asked again.
    const nameOf = ({ upload, document }) => this.#store.shelf.find(({ id }) => id === upload)?.document ?? document
    const documents = turn.documents.map((about) => ({ ...about, document: nameOf(about) })).filter(({ document }) => document)
    this.#store.tell({ type: "put", id: turn.id, documents })
    this.#connection.send({
      type: "ask",
      id: turn.id,
      conversation: this.#store.transcript.conversation,
      message: turn.message,
      documents: documents.map(({ document }) => document),
    })
  }

  #turn(id) {
    return this.#store.transcript.turns.find((turn) => turn.id === id)
  }
}
