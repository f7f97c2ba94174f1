// Wires the parts of the chat page together: what a person does, what the server says, and what is drawn.

import { Asker } from "./asking.js"
import { Composer } from "./composer.js"
import { ConnectionView } from "./connection_view.js"
import { newId } from "./dom.js"
import { takeDrops } from "./drop.js"
import { Follower } from "./scroll.js"
import { emptyShelf, isUsable, shelve } from "./shelf.js"
import { ShelfView } from "./shelf_view.js"
import { chatAddress, Connection } from "./socket.js"
import { apply, emptyTranscript, isOpen, openTurn } from "./transcript.js"
import { TranscriptView } from "./transcript_view.js"
import { abandon, send } from "./upload.js"
import { fileRefused, questionTooLong, sizeInWords } from "./words.js"

const part = (id) => document.getElementById(id)

// --- What is known ---------------------------------------------------------------------------------------------------

const contents = new Map() // upload id -> File, for a second try
let user = null
let hasLoginEnded = false
let limits = null

const store = {
  transcript: emptyTranscript(newId()),
  shelf: emptyShelf(),
  tell(event) {
    this.transcript = apply(this.transcript, event)
    this.shelf = shelve(this.shelf, event)
    drawSoon()
  },
}

const connection = new Connection(chatAddress(location), {
  onState: (state) => {
    connectionView.show(state)
    if (state.kind === "open") asker.sendWhatCanGo()
    if (state.kind === "signed out") forget()
  },
  onFrame: (frame) => {
    if (frame.type === "hello") return meet(frame)
    const about = store.transcript
    store.tell(frame)
    if (frame.type === "error" && !frame.turn && store.transcript === about) composer.complain(frame.message)
    if (frame.type === "accepted") asker.cancelWhatIsStopping()
    return undefined
  },
  onClosed: ({ words, refused, login }) => {
    hasLoginEnded ||= login
    store.tell({ type: "disconnected", refused, message: words })
  },
  renewLogin: async () => {
    const answer = await fetch(location.pathname, { cache: "no-store" })
    if (!answer.ok) throw new Error(`the page answered ${answer.status}`)
  },
})
const asker = new Asker(store, connection)

// --- What is drawn ---------------------------------------------------------------------------------------------------

const announce = (words) => (part("announcer").textContent = words)
const connectionView = new ConnectionView(document, { tryNow: () => connection.tryNow() }, announce)
const follower = new Follower(part("scroller"), part("to-end"))
const transcriptView = new TranscriptView(
  part("transcript"),
  { stop: (id) => asker.stop(id), again: (id) => asker.again(id) },
  announce,
)
const shelfView = new ShelfView(part("shelf"), { remove, unlock, retry }, announce)
const composer = new Composer(part("composer"), { ask, add, stop: () => asker.stop(openTurn(store.transcript).id) })

let isDrawing = false

/** Draws once for all that happens until the browser paints again. */
function drawSoon() {
  if (isDrawing) return
  isDrawing = true
  requestAnimationFrame(() => {
    isDrawing = false
    draw()
  })
}

function draw() {
  const { transcript, shelf } = store
  const isEmpty = transcript.turns.length === 0
  part("welcome").hidden = !isEmpty
  transcriptView.draw(transcript.turns, (turn) => asker.filesOf(turn).filter((file) => file.status !== "ready"))
  shelfView.draw(shelf)
  composer.draw({ files: shelf.filter(isUsable), isAnswering: transcript.turns.some(isOpen) })
  follower.settle(transcript.turns.at(-1)?.status === "done" ? part("transcript").lastElementChild : null)
}

// --- What the server says first --------------------------------------------------------------------------------------

function meet(hello) {
  if (user !== null) meetAgain(hello.user)
  user = hello.user
  hasLoginEnded = false
  limits = hello.limits
  connectionView.showUser(user)
  part("limits").textContent = `PDF or plain text, up to ${sizeInWords(limits.max_file)} a file.`
}

/** A guest who signed in, and an account that comes back, keep their conversation; nobody else may see or continue it. */
function meetAgain(now) {
  const isSame = user.guest === now.guest && user.name === now.name
  if (isSame && !(hasLoginEnded && now.guest)) return
  const end = user.guest && !now.guest ? "" : "Your login has ended. "
  if (end) startAnew()
  notice(`${end}You are speaking as ${now.guest ? "a guest" : now.name} now.`)
}

function notice(words) {
  part("notice").textContent = words
  part("notice").hidden = words === ""
  if (words) announce(words)
}

function forget() {
  startAnew()
  user = null
  connectionView.showUser({ name: "", guest: true })
}

// --- What a person does ----------------------------------------------------------------------------------------------

function ask(message) {
  const complaint = questionTooLong(message, limits)
  if (complaint) {
    composer.complain(complaint)
    return false
  }
  notice("")
  asker.ask(message)
  draw()
  follower.goToEnd()
  return true
}

function add(files) {
  for (const file of files) {
    const id = newId()
    store.tell({ type: "added", id, name: file.name, size: file.size })
    const refusal = fileRefused(file, limits)
    if (refusal) {
      store.tell({ type: "failed", id, ...refusal, again: false })
      continue
    }
    contents.set(id, file)
    upload(id)
  }
  composer.focus()
}

function upload(id, password) {
  const tell = (event) => {
    store.tell(event)
    if (event.type === "ready") contents.delete(id)
    if (event.type === "ready" || event.type === "failed") asker.sendWhatCanGo()
  }
  send({ id, file: contents.get(id), password, tell })
}

function unlock(id, password) {
  upload(id, password)
}

function retry(id) {
  upload(id)
}

function remove(id) {
  abandon(id)
  contents.delete(id)
  store.tell({ type: "removed", id })
  asker.sendWhatCanGo()
}

function startAnew() {
  for (const turn of store.transcript.turns.filter(isOpen)) asker.stop(turn.id)
  for (const { id } of store.shelf) remove(id)
  store.transcript = emptyTranscript(newId())
  composer.complain(null)
  composer.focus()
  drawSoon()
}

takeDrops(part("veil"), add)
part("new").addEventListener("click", startAnew)
part("example").addEventListener("click", () => composer.suggest(part("example").textContent))
connection.open()
draw()
