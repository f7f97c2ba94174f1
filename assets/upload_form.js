// Sends files as forms over HTTP, at most two at a time, for where there is no socket to send them on.

import { call, csrfToken } from "./http.js"

const AT_ONCE = 2
const LOOK_EVERY_MS = 2000

export class FormSender {
  #tell
  #waiting = []
  #requests = new Map() // upload id -> XMLHttpRequest under way
  #watched = new Map() // upload id -> timer

  /** `tell` gets the shelf's events: `sending`, then `ready` or `failed`, and `document` for what others have sent. */
  constructor(tell) {
    this.#tell = tell
  }

  /** Queues a file of the shelf with its `content` and maybe a `password`; what is being read is only watched. */
  put(item) {
    this.drop(item.id)
    if (item.document && (item.status === "reading" || item.status === "indexing")) return this.#watch(item)
    if (item.content === null) return this.#tell({ type: "failed", id: item.id, code: "gone", message: item.gone })
    this.#waiting.push(item)
    return this.#next()
  }

  /** Stops with a file, at whatever point. */
  drop(id) {
    this.#waiting = this.#waiting.filter((item) => item.id !== id)
    clearTimeout(this.#watched.get(id))
    this.#watched.delete(id)
    const request = this.#requests.get(id)
    this.#requests.delete(id)
    request?.abort()
    this.#next()
  }

  /** Forgets everything, as the line is gone. */
  clear() {
    this.#waiting = []
    for (const id of [...this.#requests.keys(), ...this.#watched.keys()]) this.drop(id)
  }

  #next() {
    while (this.#requests.size < AT_ONCE && this.#waiting.length > 0) this.#post(this.#waiting.shift())
  }

  #post({ id, content, name, password }) {
    const request = new XMLHttpRequest()
    const isCurrent = () => this.#requests.get(id) === request
    this.#requests.set(id, request)
    const finish = (event) => {
      if (!isCurrent()) return
      this.#requests.delete(id)
      this.#tell(event)
      this.#next()
    }
    request.upload.onprogress = ({ loaded, total }) => isCurrent() && this.#tell({ type: "sending", id, done: loaded, total })
    request.onload = () => finish(outcome(id, request))
    request.onerror = () => finish(failure(id, "network", "The connection broke while the file was sent."))
    this.#tell({ type: "sending", id, done: 0, total: content.size || 1, passwordTried: password ? true : undefined })

    const form = new FormData()
    form.append("id", id)
    if (password) form.append("password", password)
    form.append("file", content, name)
    request.open("POST", "/api/document/")
    request.setRequestHeader("X-CSRFToken", csrfToken())
    request.setRequestHeader("Accept", "application/json")
    request.send(form)
  }

  #watch({ id, document }) {
    const look = async () => {
      const { answer } = await call("GET", "/api/document/").catch(() => ({ answer: null }))
      if (!this.#watched.has(id)) return
      const found = Array.isArray(answer) ? answer.find((one) => one.document_id === document) : undefined
      if (found) this.#tell({ type: "document", id, document: found })
      if (found && ["ready", "failed"].includes(found.status)) this.#watched.delete(id)
      else if (answer && !found) this.#tell(failure(id, "not_found", "This file was deleted."))
      else this.#watched.set(id, setTimeout(look, LOOK_EVERY_MS))
    }
    this.#watched.set(id, setTimeout(look))
  }
}

function outcome(id, request) {
  let answer = {}
  try {
    answer = JSON.parse(request.responseText)
  } catch {
    // something between the browser and the server answered in its own words; the status has to do
  }
  if (request.status === 201 && answer.document_id) {
    return { type: "ready", id, document: answer.document_id, pages: answer.pages }
  }
  if (answer.code) return failure(id, answer.code, answer.error)
  if (request.status === 413) return failure(id, "file_too_large", "The server does not take files as large as this one.")
  return failure(id, "internal", `The server did not take the file (it answered ${request.status}).`)
}

const failure = (id, code, message) => ({ type: "failed", id, code, message })
