// Which conversation is shown: first the one that the address names or that was kept, then where a person goes.

import { mayExist } from "./chats.js"
import { newId } from "./dom.js"
import { isStillThem } from "./hello.js"
import { eventsOf, keptChats } from "./kept.js"
import { addressOf, labelIn } from "./place.js"

export class Navigation {
  #chats
  #uploads
  #follow
  #moved
  #notice
  #forgotten

  /**
   * `actions`: follow(chat) asks the server for what is in a conversation, moved() is called when another one is shown,
   * notice(words) tells why, forgotten() that what this tab showed or kept is somebody else's.
   */
  constructor(chats, uploads, { follow, moved, notice, forgotten }) {
    this.#chats = chats
    this.#uploads = uploads
    this.#follow = follow
    this.#moved = moved
    this.#notice = notice
    this.#forgotten = forgotten
    addEventListener("popstate", () => this.#followAddress())
  }

  /** Shows what the page's address names, else what this tab showed before, as far as it is `user`'s. */
  begin(user) {
    const linked = labelIn(location)
    const kept = keptChats()
    const isTheirs = Boolean(kept?.speaker) && isStillThem(kept.speaker, user)
    if (kept !== null && !isTheirs) this.#forgotten()
    const label = linked ?? (isTheirs ? kept.shown : newId())
    this.#chats.show(label, { isOpening: isTheirs && label === kept.shown ? kept.mayExist : linked !== null })
    if (isTheirs) for (const chat of kept.chats) for (const event of eventsOf(chat)) this.#chats.tell(event)
    if (mayExist(this.#chats.shown)) this.pin()
  }

  /** Puts the conversation that is shown into the address: from now on it can be found again. */
  pin() {
    history.replaceState(null, "", addressOf(this.#chats.shown.conversation))
  }

  /** Another conversation, empty; the one before it goes on at the server, and here for who comes back to it. */
  startAnew() {
    const { transcript, shelf, conversation } = this.#chats.shown
    this.#show(newId())
    if (transcript.turns.length > 0) history.pushState(null, "", addressOf(null))
    else this.#forget(conversation, shelf)
  }

  /** Forgets everything that is known here, as somebody else is speaking now. */
  forgetAll() {
    const before = this.#chats.all
    this.#show(newId())
    for (const { conversation, shelf } of before) this.#forget(conversation, shelf)
    history.replaceState(null, "", addressOf(null))
    this.#forgotten()
  }

  /** Something was told of a conversation, or there is nothing to tell: it need not be waited for any longer. */
  settle(conversation) {
    if (!this.#chats.of(conversation)?.isOpening) return
    this.#chats.opened(conversation)
    this.#moved()
  }

  /** The server knows no such conversation of this speaker's. What was only asked here will make it. */
  missing({ conversation, transcript, shelf, isOpening }) {
    const wasThere = transcript.seq > 0
    if (!wasThere && !(isOpening && transcript.turns.length === 0)) return this.settle(conversation)
    if (this.#chats.shown.conversation === conversation) {
      this.#show(newId())
      history.replaceState(null, "", addressOf(null))
      this.#notice(wasThere ? "This conversation was deleted." : "This conversation is not there, or belongs to somebody else.")
    }
    return this.#forget(conversation, shelf)
  }

  // Somebody went back, or followed a link to a conversation.
  #followAddress() {
    const label = labelIn(location)
    if (label === this.#chats.shown.conversation) return
    this.#show(label ?? newId(), { isOpening: label !== null })
    this.#follow(this.#chats.shown)
  }

  #show(label, options) {
    this.#notice("")
    this.#chats.show(label, options)
    this.#moved()
  }

  #forget(conversation, shelf) {
    for (const { id } of shelf) this.#uploads.abandon(id)
    this.#chats.forget(conversation)
  }
}
