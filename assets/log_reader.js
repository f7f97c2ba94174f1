// Reads the log of each conversation in order and without a hole, over however many lines: the page's cursors.

import { isBusy, mayExist } from "./chats.js"
import { newId } from "./dom.js"
import { call, sessionAddress } from "./http.js"
import { placeOf } from "./transcript.js"

const PAUSE_MS = 2_000

export class LogReader {
  #chats
  #connection
  #missing
  #repairing = new Set() // conversations of which what is missing has been asked for on this line
  #recalling = new Set()
  #resumed = new Map() // the ids of the `resume` frames on this line -> conversation

  /** `missing(chat)` is called where the server knows no such conversation of this speaker's. */
  constructor(chats, connection, missing) {
    this.#chats = chats
    this.#connection = connection
    this.#missing = missing
  }

  /** The line is up: goes on where each conversation stands. The one that is shown comes last, as the one that matters. */
  opened() {
    this.#repairing.clear()
    this.#resumed.clear()
    const { shown } = this.#chats
    for (const chat of this.#chats.all) if (chat !== shown && isBusy(chat)) this.follow(chat)
    this.follow(shown)
  }

  /** Asks for what comes after the last event that was seen. */
  follow(chat) {
    if (!this.#connection.isOpen || !mayExist(chat)) return
    const id = newId()
    this.#resumed.set(id, chat.conversation)
    this.#connection.send({ type: "resume", id, conversation: chat.conversation, after: chat.transcript.seq })
  }

  /** Takes a frame of a conversation's log, or one that says there is none. Says whether it was one. */
  take(frame) {
    const refused = frame.type === "error" && !frame.turn ? (this.#resumed.get(frame.id) ?? frame.conversation) : undefined
    if (refused === undefined && frame.conversation === undefined) return false
    const chat = this.#chats.of(refused ?? frame.conversation)
    if (chat && refused !== undefined) this.#missing(chat)
    else if (chat) this.#read(chat, frame)
    return true
  }

  #read(chat, frame) {
    if (placeOf(chat.transcript, frame) === "early") {
      if (!this.#repairing.has(frame.conversation)) this.follow(chat)
      this.#repairing.add(frame.conversation)
      return
    }
    this.#repairing.delete(frame.conversation)
    this.#chats.tell(frame)
    if (frame.type === "gap") void this.#recall(frame.conversation)
  }

  // What the log does not hold any more stands in the messages. Not lightly given up: without them a part is missing.
  async #recall(conversation) {
    if (this.#recalling.has(conversation)) return
    this.#recalling.add(conversation)
    while (this.#chats.of(conversation)) {
      const { status, answer } = await call("GET", sessionAddress(conversation, "messages")).catch(() => ({ status: 0 }))
      const messages = status === 404 ? [] : answer?.messages
      if (messages) {
        this.#chats.tell({ type: "recalled", conversation, messages })
        break
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    }
    this.#recalling.delete(conversation)
  }
}
