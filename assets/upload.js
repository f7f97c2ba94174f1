// Brings files to the server: in pieces over the socket, or as a form where sockets are cut; goes on after every break.

import { call } from "./http.js"
import { sha256Of } from "./digest.js"
import { isSettled, isUsable, mayBeTriedAgain } from "./shelf.js"
import { forgetFile, keepFile, keptFile } from "./kept_files.js"
import { FormSender } from "./upload_form.js"
import { FrameSender } from "./upload_frames.js"

const GONE = "This file was not sent in full before the page was loaded again. Please add it once more."

export class Uploads {
  #chats
  #connection
  #contents = new Map() // upload id -> File
  #added = new Map() // upload id -> File, for as long as it is on a shelf of this page
  #passwords = new Map()
  #frames
  #forms

  /** `chats` hold the shelves and take events by tell(event); `connection` is a Connection. */
  constructor(chats, connection) {
    this.#chats = chats
    this.#connection = connection
    const tell = (event) => {
      chats.tell(event)
      this.#forgetWhatIsSettled(event.id)
    }
    this.#frames = new FrameSender(connection, tell)
    this.#forms = new FormSender(tell)
  }

  /** Takes in a file that has just been put on the shelf under this id. */
  add(id, file) {
    this.#contents.set(id, file)
    this.#added.set(id, file)
    void keepFile(id, file)
    this.#start(id)
  }

  /** Resolves to whether a file is on this shelf already, byte by byte; null where none there has its name and size. */
  compare(shelf, file) {
    const alike = shelf.filter((one) => isUsable(one) && one.name === file.name && one.size === file.size)
    return alike.length > 0 ? this.#isAmong(alike, file) : null
  }

  async #isAmong(alike, file) {
    const sha256 = await sha256Of(file)
    for (const one of alike) {
      const added = this.#added.get(one.id)
      if ((one.sha256 ?? (added && (await sha256Of(added)))) === sha256) return true
    }
    return false
  }

  /** Tries a file once more that failed for a reason that may have passed. */
  retry(id) {
    this.#chats.tell({ type: "sending", id, done: 0, total: 1 })
    this.#start(id)
  }

  /** Tries a locked file with a password. */
  unlock(id, password) {
    this.#passwords.set(id, password)
    this.#chats.tell({ type: "sending", id, done: 0, total: 1, passwordTried: true })
    this.#start(id)
  }

  /** Forgets a file, wherever it stands; one that is not whole at the server is deleted there, as nobody can ask about it. */
  abandon(id) {
    const { document, status } = this.#files().find((file) => file.id === id) ?? {}
    if (document && ["waiting", "sending"].includes(status)) call("DELETE", `/api/document/${document}/`).catch(() => null)
    this.#frames.drop(id)
    this.#forms.drop(id)
    this.#added.delete(id)
    this.#forget(id)
  }

  /** The line is up: goes on with what is not settled, and asks what became of the rest while nobody told. */
  opened() {
    for (const file of this.#files()) if (!isSettled(file)) this.#start(file.id)
  }

  /** The line is down. */
  closed() {
    this.#frames.clear()
    this.#forms.clear()
    for (const { id, status } of this.#files()) if (status === "sending") this.#chats.tell({ type: "paused", id })
  }

  /** Takes a frame of the server that is about a file. */
  hear(frame) {
    this.#frames.hear(frame)
    if (frame.type === "document") this.#forgetWhatIsSettled(frame.id)
  }

  async #start(id) {
    if (!this.#connection.isOpen) return
    const line = this.#connection.count
    if (!this.#contents.has(id)) {
      const content = await keptFile(id)
      if (content !== null) this.#contents.set(id, content)
    }
    const file = this.#files().find((one) => one.id === id)
    if (!file || !this.#connection.isOpen || this.#connection.count !== line) return
    const sender = this.#connection.carriesBytes ? this.#frames : this.#forms
    sender.put({ ...file, content: this.#contents.get(id) ?? null, password: this.#passwords.get(id), gone: GONE })
  }

  #files() {
    return this.#chats.all.flatMap(({ shelf }) => shelf)
  }

  #forgetWhatIsSettled(id) {
    const file = this.#files().find((one) => one.id === id)
    if (file && (file.status === "ready" || (file.status === "failed" && !mayBeTriedAgain(file)))) this.#forget(id)
  }

  #forget(id) {
    this.#passwords.delete(id)
    this.#contents.delete(id)
    void forgetFile(id)
  }
}
