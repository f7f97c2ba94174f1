// Finds the names of documents that a question is about where only the server knows them: asked elsewhere, or earlier.

import { call } from "./http.js"

const GATHER_MS = 50

const namelessOf = ({ transcript }) =>
  transcript.turns.flatMap(({ documents }) => documents.filter(({ name }) => name === null).map(({ document }) => document))

export class DocumentNames {
  #chats
  #asked = new Set()
  #timer = null

  constructor(chats) {
    this.#chats = chats
  }

  /** Looks soon whether a name is missing in what is shown; asks for it once, as a document that was deleted has none. */
  look() {
    this.#timer ??= setTimeout(() => this.#look(), GATHER_MS)
  }

  async #look() {
    this.#timer = null
    const missing = namelessOf(this.#chats.shown).filter((id) => !this.#asked.has(id))
    if (missing.length === 0) return
    for (const id of missing) this.#asked.add(id)
    const known = this.#chats.shown.shelf.map(({ document, name }) => [document, name])
    const names = Object.fromEntries(known)
    if (missing.some((id) => !names[id])) {
      const { answer } = await call("GET", "/api/document/").catch(() => ({ answer: null }))
      if (Array.isArray(answer)) for (const { document_id: id, name } of answer) names[id] = name
      else for (const id of missing) this.#asked.delete(id)
    }
    this.#chats.tell({ type: "named", names })
  }
}
