// Reads the log of each conversation in order and without a hole, over however many lines: the page's cursors.

import { isBusy, mayExist } from "./chats.js"
import { pauseBefore } from "./closes.js"
import { newId } from "./dom.js"
import { call, sessionAddress } from "./http.js"
import { placeOf } from "./transcript.js"

const PAUSE_MS = 2_000
const QUIET_MS = 1_500 // so long after a conversation was asked for, it counts as empty where nothing came

export class LogReader {
  #chats
  #connection
  #missing
  #settled
  #repairing = new Set() // conversations of which what is missing has been asked for on this line
  #recalling = new Set()
  #resumed = new Map() // the ids of the `resume` frames on this line -> conversation
  #refusals = new Map() // conversation -> how often in a row the server could not tell it
  #timers = new Map() // conversation -> what happens there if nothing is heard before

  /**
   * `missing(chat)` is called where the server knows no such conversation of this speaker's, `settled(conversation)` when
   * something of one was told, or nothing comes.
   */
  constructor(chats, connection, { missing, settled }) {
    this.#chats = chats
    this.#connection = connection
    this.#missing = missing
    this.#settled = settled
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
    const { conversation, transcript, isOpening } = chat
    const id = newId()
    this.#resumed.set(id, conversation)
    this.#connection.send({ type: "resume", id, conversation, after: transcript.seq })
    this.#in(isOpening ? QUIET_MS : null, conversation, () => this.#connection.isOpen && this.#settled(conversation))
  }

  /** Takes a frame of a conversation's log, or one that says why it is not told. Says whether it was one. */
  take(frame) {
    const refused = frame.type === "error" && !frame.turn ? (this.#resumed.get(frame.id) ?? frame.conversation) : undefined
    if (refused === undefined && frame.conversation === undefined) return false
    const chat = this.#chats.of(refused ?? frame.conversation)
    if (chat && refused !== undefined) this.#refused(chat, frame)
    else if (chat) {
      this.#read(chat, frame)
      this.#settled(chat.conversation)
    }
    return true
  }

  #refused(chat, { code, retry_after: seconds = 0 }) {
    const { conversation } = chat
    if (saysGone(chat, code)) return this.#missing(chat)
    const tries = this.#refusals.get(conversation) ?? 0
    this.#refusals.set(conversation, tries + 1)
    this.#chats.waitFor(conversation)
    return this.#in(Math.max(1000 * seconds, pauseBefore(tries)), conversation, () => {
      const now = this.#chats.of(conversation)
      if (now) this.follow(now)
    })
  }

  // With null, nothing happens any more.
  #in(ms, conversation, act) {
    clearTimeout(this.#timers.get(conversation))
    if (ms === null) this.#timers.delete(conversation)
    else this.#timers.set(conversation, setTimeout(act, ms))
  }

  #read(chat, frame) {
    this.#refusals.delete(chat.conversation)
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

// Any other refusal is about this moment: a server without time, a database that is away.
function saysGone({ transcript }, code) {
  const isNoLabel = code === "bad_field" && transcript.seq === 0 // no conversation can be called so
  return code === "not_found" || isNoLabel
}
