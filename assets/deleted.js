// Finds out which files of a question were deleted elsewhere, where the server says that something is not there.

import { call } from "./http.js"
import { deletedInWords } from "./words.js"

export class DeletedFiles {
  #chats

  /** `chats` hold transcripts and shelves and take events by tell(event). */
  constructor(chats) {
    this.#chats = chats
  }

  /** Takes any frame; where it ends a question for want of a document, says which it was, and takes that off the next. */
  async hear({ type, code, id, turn: name }) {
    if (type !== "error" || code !== "not_found") return
    const turns = this.#chats.all.flatMap(({ transcript }) => transcript.turns)
    const turn = turns.find((one) => (name ? one.turn === name : one.id === id))
    if (!turn || turn.documents.length === 0) return
    const { answer } = await call("GET", "/api/document/").catch(() => ({ answer: null }))
    if (!Array.isArray(answer)) return
    const here = new Set(answer.map(({ document_id: document }) => document))
    const gone = turn.documents.filter(({ document }) => document !== null && !here.has(document))
    if (gone.length === 0) return
    this.#chats.tell({ type: "deleted", documents: gone.map(({ document }) => document) })
    this.#chats.tell({ type: "refused", id: turn.id, message: deletedInWords(gone) })
  }
}
