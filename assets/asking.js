// Decides when a question goes on the wire, and in which order: when its files are read and while the line is up.

import { newId } from "./dom.js"
import { documentsToName } from "./in_use.js"
import { isInHand, isSettled, isUsable } from "./shelf.js"
import { isOpen } from "./turn.js"
import { unreadInWords } from "./words.js"

const PAUSE_S = 5 // where the server does not say how long to wait

export class Asker {
  #chats
  #connection
  #cancelled = new Set() // turns for which `cancel` has gone out on this line
  #mayAskAt = 0

  /** `chats` hold transcripts and shelves and take events by tell(event); `connection` is a Connection. */
  constructor(chats, connection) {
    this.#chats = chats
    this.#connection = connection
  }

  /** A new question in the conversation that is shown, about all files in use there that can be read. */
  ask(message) {
    const { shown } = this.#chats
    const { conversation } = shown
    this.#chats.tell({ type: "asked", conversation, id: newId(), message, documents: documentsToName(shown) })
    this.sendWhatCanGo()
  }

  /** The same question once more, as a new one, about the same files but for those that turned out to be unreadable. */
  again(id) {
    const { chat, turn } = this.#chats.find(id)
    const unreadable = chat.shelf.filter((file) => !isUsable(file)).map((file) => file.id)
    const documents = turn.documents.filter(({ upload, document }) => !unreadable.includes(upload) && !chat.gone.includes(document))
    this.#chats.tell({ type: "asked", conversation: chat.conversation, id: newId(), message: turn.message, documents })
    this.sendWhatCanGo()
  }

  /** Ends a question, whether it is running, waiting at the server, or still here. */
  stop(id) {
    const { turn } = this.#chats.find(id)
    if (turn.status === "waiting" && !turn.isOut) this.#chats.tell({ type: "withdrawn", id })
    else {
      this.#chats.tell({ type: "stopping", id })
      this.cancelWhatIsStopping()
    }
    this.sendWhatCanGo()
  }

  /** The line is up: all that a line before it may have lost is said again. */
  opened() {
    this.#cancelled.clear()
    this.sendWhatCanGo()
    this.cancelWhatIsStopping()
  }

  /** A question can be stopped before the server gave it the name by which it is cancelled, so this is called again then. */
  cancelWhatIsStopping() {
    if (!this.#connection.isOpen) return
    for (const { conversation, transcript } of this.#chats.all) {
      for (const { turn, stopping, status } of transcript.turns) {
        if (!stopping || !turn || !isOpen({ status }) || this.#cancelled.has(turn)) continue
        this.#cancelled.add(turn)
        this.#connection.send({ type: "cancel", turn, conversation })
      }
    }
  }

  /** Sends the waiting questions of all conversations, as far as they can go. Called at every change. */
  sendWhatCanGo() {
    for (const { conversation } of this.#chats.all) this.#sendOldestOf(conversation)
  }

  /** Takes an error about a question: one that only came too soon goes back among those that wait. Says if it was one. */
  hear({ type, turn, id, code, retry_after: seconds = PAUSE_S }) {
    if (type !== "error" || turn || code !== "rate_limited" || this.#chats.find(id).turn?.status !== "sent") return false
    this.#mayAskAt = Date.now() + seconds * 1000
    this.#chats.tell({ type: "putBack", id, waitsFor: "pause" })
    setTimeout(() => this.sendWhatCanGo(), seconds * 1000)
    return true
  }

  /** The files on the shelf that a question is about. */
  filesOf(turn) {
    const { shelf } = this.#chats.find(turn.id).chat
    return turn.documents.map(({ upload }) => shelf.find(({ id }) => id === upload)).filter(Boolean)
  }

  // The oldest first, up to the first that has to wait on: those behind it wait for it, if for nothing of their own.
  #sendOldestOf(conversation) {
    let isHeld = false
    for (const turn of this.#chats.of(conversation).transcript.turns) {
      if (turn.status !== "waiting") continue
      const waitsFor = this.#obstacle(turn) ?? (isHeld ? "order" : null)
      if (waitsFor) {
        isHeld = true
        if (turn.waitsFor !== waitsFor) this.#chats.tell({ type: "held", id: turn.id, waitsFor })
        continue
      }
      const unread = this.filesOf(turn).filter((file) => !isUsable(file))
      if (unread.length > 0) this.#chats.tell({ type: "refused", id: turn.id, message: unreadInWords(unread) })
      else this.#put(conversation, turn)
    }
  }

  #obstacle(turn) {
    const files = this.filesOf(turn)
    const isRefused = files.some((file) => !isUsable(file)) // then all that can be said against it is said at once
    const isReadyFor = (file) => (isInHand(file) && !isRefused) || (isSettled(file) && file.status !== "locked")
    if (!files.every(isReadyFor)) return "documents"
    if (!this.#connection.isOpen) return "connection"
    return Date.now() < this.#mayAskAt ? "pause" : null
  }

  #put(conversation, turn) {
    // Named only now: a file that was sent twice, for its password, is another document for the server. A file that
    // has left the shelf keeps the name it had, where the question is asked again.
    const { shelf } = this.#chats.of(conversation)
    const nameOf = ({ upload, document }) => shelf.find(({ id }) => id === upload)?.document ?? document
    const documents = turn.documents.map((about) => ({ ...about, document: nameOf(about) })).filter(({ document }) => document)
    this.#chats.tell({ type: "put", id: turn.id, documents })
    this.#connection.send({
      type: "ask",
      id: turn.id,
      conversation,
      message: turn.message,
      documents: documents.map(({ document }) => document),
    })
  }
}
