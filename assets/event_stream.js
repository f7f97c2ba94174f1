// Server-sent events out of the text they come in.

/** Gathers text, in pieces that may end anywhere, into events. */
export class EventParser {
  #rest = ""
  #event = { id: null, data: [] }

  /** The events that are whole with this piece: [{id, data}]; comments and what is of no use here are left out. */
  feed(text) {
    const lines = (this.#rest + text).split("\n")
    this.#rest = lines.pop()
    return lines.flatMap((line) => this.#take(line.replace(/\r$/, "")))
  }

  #take(line) {
    if (line === "") return this.#whole()
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line)
    if (field === "data") this.#event.data.push(value)
    if (field === "id") this.#event.id = value
    return []
  }

  #whole() {
    const { id, data } = this.#event
    this.#event = { id: null, data: [] }
    return data.length > 0 ? [{ id, data: data.join("\n") }] : []
  }
}
