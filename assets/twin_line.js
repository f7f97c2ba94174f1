// What a socket does, done over HTTP: the conversations' server-sent events in, questions and cancels out.
// It is for places where something between the browser and the server lets no WebSocket through.

import { LOST_CODE } from "./closes.js"
import { EventParser } from "./event_stream.js"
import { helloOf } from "./hello.js"
import { call, sessionAddress } from "./http.js"

const CODE_OF_STATUS = { 401: 4401, 429: 1013, 503: 1013 }
const PATIENCE_MS = 20_000 // for an answer to a call
const SILENCE_MS = 40_000 // the server says something every 15 seconds
const BRIEF_MS = 5_000 // a stream that ends sooner than this has failed, not run its time
const MOST_STREAMS = 2 // a browser opens six connections to a host, for all of its pages
const REST_AFTER_MS = 60_000 // and so a page that nobody looks at gives its own back

export class TwinLine {
  carriesBytes = false
  #handlers
  #page
  #ending = new AbortController()
  #streams = new Map() // conversation -> {abort, seq}, the one that was asked for last at the end
  #questions = Promise.resolve()
  #resting = null

  /** `page` is the chat page's own address; `handlers` are those of a SocketLine. */
  constructor(page, handlers) {
    this.#page = page
    this.#handlers = handlers
    void this.#open()
  }

  /** Sends a frame of miva.v1: those that a socket would take, but for uploads. */
  send(frame) {
    if (frame.type === "ask") this.#questions = this.#questions.then(() => this.#ask(frame))
    else if (frame.type === "cancel") void this.#cancel(frame)
    else if (frame.type === "resume") void this.#follow(frame.conversation, frame.after)
  }

  /** The page is out of sight: after a while it stops listening, until check() is called. */
  rest() {
    this.#resting = setTimeout(() => {
      for (const { abort } of this.#streams.values()) abort.abort()
    }, REST_AFTER_MS)
  }

  /** Begins the streams anew where they stand, as the old ones may be dead without knowing it. */
  check() {
    clearTimeout(this.#resting)
    this.#resting = null
    for (const [conversation, { seq, abort }] of [...this.#streams]) {
      abort.abort()
      void this.#follow(conversation, seq, true)
    }
  }

  /** Ends the line without a word to anybody. */
  close() {
    clearTimeout(this.#resting)
    this.#ending.abort()
    for (const { abort } of this.#streams.values()) abort.abort()
    this.#streams.clear()
  }

  get #hasEnded() {
    return this.#ending.signal.aborted
  }

  #end(code) {
    if (this.#hasEnded) return
    this.close()
    this.#handlers.onClosed(code)
  }

  // The page itself says who is speaking, and its cookies are fresh then.
  async #open() {
    try {
      const response = await fetch(this.#page, { cache: "no-store", signal: this.#soon() })
      if (!response.ok) return this.#end(CODE_OF_STATUS[response.status] ?? LOST_CODE)
      const hello = helloOf(new DOMParser().parseFromString(await response.text(), "text/html"))
      if (this.#hasEnded) return undefined
      return hello ? this.#handlers.onFrame(hello) : this.#end(4401) // led away, to the page where one signs in
    } catch {
      return this.#end(LOST_CODE)
    }
  }

  async #ask({ type, conversation, ...question }) {
    const address = sessionAddress(conversation, "ask")
    const accepted = await this.#call(address, { type, ...question }, { id: question.id })
    if (accepted === null) return
    this.#handlers.onFrame(accepted)
    if (!this.#streams.has(conversation)) void this.#follow(conversation, accepted.seq - 1)
  }

  async #cancel({ turn, conversation }) {
    await this.#call(sessionAddress(conversation, "cancel"), { turn }, {})
  }

  /** The answer to a call, or null where it is an error, which is told as a frame, or the end of the line. */
  async #call(address, body, about) {
    if (this.#hasEnded) return null
    try {
      const { status, answer } = await call("POST", address, { body, signal: this.#soon() })
      if (this.#hasEnded) return null
      if (status < 300) return answer
      if (status === 401 || !answer?.code) this.#end(CODE_OF_STATUS[status] ?? LOST_CODE)
      else this.#handlers.onFrame({ ...answer, type: "error", message: answer.error, ...about })
    } catch {
      this.#end(LOST_CODE)
    }
    return null
  }

  async #follow(conversation, after, hasRun = false) {
    const abort = new AbortController()
    const stream = { abort, seq: after }
    this.#replace(conversation, stream)
    const began = Date.now()
    const silence = new Silence(SILENCE_MS, abort)
    let code = LOST_CODE
    try {
      const address = `${sessionAddress(conversation, "events")}?after=${after}`
      const headers = { Accept: "text/event-stream" }
      const response = await fetch(address, { headers, cache: "no-store", signal: abort.signal })
      if (response.status === 404 && !hasRun) return await this.#refuse(conversation, stream, response)
      // One that was there before belongs to somebody who is not speaking any more.
      code = response.status === 404 ? 4401 : (CODE_OF_STATUS[response.status] ?? LOST_CODE)
      if (response.ok) await this.#read(response.body, stream, silence)
    } catch {
      // ended from here, by silence, or by the network: told below
    } finally {
      silence.end()
    }
    if (this.#hasEnded || this.#streams.get(conversation) !== stream) return
    if (abort.signal.aborted && document.hidden) return // resting
    // Things between the browser and the server end every answer after some time: then the next one goes on.
    if (code === LOST_CODE && Date.now() - began > BRIEF_MS) void this.#follow(conversation, stream.seq, true)
    else this.#end(code)
  }

  async #refuse(conversation, stream, response) {
    const { error: message } = await response.json()
    if (this.#streams.get(conversation) !== stream) return
    this.#streams.delete(conversation)
    this.#handlers.onFrame({ type: "error", code: "not_found", message, conversation })
  }

  async #read(body, stream, silence) {
    const parser = new EventParser()
    const reader = body.pipeThrough(new TextDecoderStream()).getReader()
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      silence.heard()
      for (const { id, data } of parser.feed(value)) {
        if (stream.abort.signal.aborted) return
        const frame = JSON.parse(data)
        if (frame.type === "gap") stream.seq = frame.head
        else if (id) stream.seq = Number(id)
        this.#handlers.onFrame(frame)
      }
    }
  }

  #replace(conversation, stream) {
    this.#streams.get(conversation)?.abort.abort()
    this.#streams.delete(conversation)
    this.#streams.set(conversation, stream)
    while (this.#streams.size > MOST_STREAMS) {
      const [oldest, { abort }] = this.#streams.entries().next().value
      this.#streams.delete(oldest)
      abort.abort()
    }
  }

  #soon() {
    return AbortSignal.any([this.#ending.signal, AbortSignal.timeout(PATIENCE_MS)])
  }
}

/** Aborts something when nothing has been heard for so many milliseconds. */
class Silence {
  #ms
  #abort
  #timer

  constructor(ms, abort) {
    this.#ms = ms
    this.#abort = abort
    this.heard()
  }

  heard() {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#abort.abort(), this.#ms)
  }

  end() {
    clearTimeout(this.#timer)
  }
}
