// Wires the parts of the chat page together: what a person does, what the server says, and what is drawn.

import { Asker } from "./asking.js"
import { Chats } from "./chats.js"
import { Composer } from "./composer.js"
import { ConnectionView } from "./connection_view.js"
import { DeletedFiles } from "./deleted.js"
import { newId } from "./dom.js"
import { takeDrops } from "./drop.js"
import { helloOf, isSame, isStillThem } from "./hello.js"
import { filesInUse } from "./in_use.js"
import { keepChats } from "./kept.js"
import { forgetOldFiles } from "./kept_files.js"
import { LogReader } from "./log_reader.js"
import { DocumentNames } from "./names.js"
import { Navigation } from "./navigation.js"
import { Follower } from "./scroll.js"
import { plainName } from "./plain_name.js"
import { unfoldForPrint } from "./print.js"
import { isComing, isSetAside, isUsable } from "./shelf.js"
import { ShelfView } from "./shelf_view.js"
import { chatAddress, Connection } from "./socket.js"
import { isAnswering, openTurn } from "./transcript.js"
import { TranscriptView } from "./transcript_view.js"
import { UnreadView } from "./unread_view.js"
import { Uploads } from "./upload.js"
import { fileRefused, openingInWords, questionTooLong, sizeInWords, turnInWords } from "./words.js"

const part = (id) => document.getElementById(id)
const UNKEPT = new Set(["delta", "thinking", "reply"]) // change nothing of what has to be kept
const ABOUT_FILES = new Set(["document", "progress", "ready", "failed", "removed"]) // a question may have waited for this

// --- What is known ---------------------------------------------------------------------------------------------------

let { user, limits } = helloOf(document)
let hasLoginEnded = false

const chats = new Chats((event) => {
  if (!UNKEPT.has(event.type)) keep()
  drawSoon()
  if (ABOUT_FILES.has(event.type)) asker.sendWhatCanGo()
})

const connection = new Connection(
  { socket: chatAddress(location), page: location.pathname },
  {
    onState: (state) => {
      connectionView.show(state)
      if (state.kind === "open") lineOpened()
      if (state.kind === "signed out") forget()
      drawSoon()
    },
    onFrame: (frame) => {
      if (frame.type === "hello") return meet(frame)
      hear(frame)
      return void deletedFiles.hear(frame)
    },
    onClosed: ({ words, refused, login }) => {
      hasLoginEnded ||= login
      uploads.closed()
      chats.tell({ type: "disconnected", refused, message: words })
    },
    renewLogin: async () => {
      const answer = await fetch(location.pathname, { cache: "no-store" })
      if (!answer.ok) throw new Error(`the page answered ${answer.status}`)
    },
  },
)
const asker = new Asker(chats, connection)
const uploads = new Uploads(chats, connection)
const reader = new LogReader(chats, connection, {
  missing: (chat) => navigation.missing(chat),
  settled: (conversation) => navigation.settle(conversation),
})
const names = new DocumentNames(chats)
const deletedFiles = new DeletedFiles(chats)
const navigation = new Navigation(chats, uploads, {
  follow: (chat) => reader.follow(chat),
  moved: () => {
    composer.complain(null)
    keep()
    drawSoon()
    follower.goToEnd()
  },
  notice,
  forgotten: () => composer.clear(),
})

function lineOpened() {
  reader.opened()
  uploads.opened()
  asker.opened()
}

function hear(frame) {
  if (reader.take(frame)) {
    if (frame.type === "accepted") asker.cancelWhatIsStopping()
    if (frame.type === "accepted") names.look()
    return
  }
  if (asker.hear(frame)) return
  const isKnown = chats.all.some(({ shelf }) => shelf.some(({ id }) => id === frame.id)) || chats.find(frame.id).turn
  chats.tell(frame)
  uploads.hear(frame)
  if (frame.type === "error" && !isKnown) composer.complain(frame.message)
}

/** Keeps for the next time this page is loaded what the server does not know yet. */
function keep() {
  if (!keepChats(user, chats)) notice("This browser keeps no more for this page: please do not load it again yet.")
}

// --- What is drawn ---------------------------------------------------------------------------------------------------

const announce = (words) => (part("announcer").textContent = words)
const connectionView = new ConnectionView(document, { tryNow: () => connection.tryNow() }, announce)
const follower = new Follower(part("scroller"), part("to-end"), () => composer.goOn())
const transcriptView = new TranscriptView(
  part("transcript"),
  { stop: (id) => asker.stop(id), again: (id) => asker.again(id), left: () => composer.goOn() },
  announce,
)
const shelfView = new ShelfView(
  part("shelf"),
  {
    remove,
    unlock: (id, password) => uploads.unlock(id, password),
    retry: (id) => uploads.retry(id),
    left: () => composer.goOn(),
  },
  announce,
)
const unreadView = new UnreadView(part("unread"), {
  removeAll: () => filesInUse(chats.shown).filter(isSetAside).forEach(({ id }) => remove(id)),
  left: () => composer.goOn(),
})
const composer = new Composer(part("composer"), {
  ask,
  add,
  stop: () => asker.stop(openTurn(chats.shown.transcript).id),
})

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
  const { transcript, isOpening, isRecalling } = chats.shown
  const files = filesInUse(chats.shown)
  const isIncomplete = isOpening || isRecalling
  part("welcome").hidden = transcript.turns.length > 0 || isIncomplete
  part("opening").hidden = !isIncomplete
  part("opening").textContent = openingInWords(connection.isOpen)
  const wordsOf = (turn) => turnInWords(turn, asker.filesOf(turn).filter(isComing), connection.isOpen)
  transcriptView.draw(transcript.turns, wordsOf)
  shelfView.draw(files.filter((file) => !isSetAside(file)))
  unreadView.draw(files.filter(isSetAside))
  composer.draw({ files: files.filter(isUsable), isAnswering: isAnswering(transcript) })
  follower.settle(transcript.turns.at(-1)?.status === "done" ? part("transcript").lastElementChild : null)
}

function notice(words) {
  part("notice").textContent = words
  part("notice").hidden = words === ""
  if (words) announce(words)
}

// --- Who is speaking -------------------------------------------------------------------------------------------------

function meet(hello) {
  if (user !== null) meetAgain(hello.user)
  user = hello.user
  keep()
  hasLoginEnded = false
  limits = hello.limits
  showLimits()
  connectionView.showUser(user)
}

/** A guest who signed in, and an account that comes back, keep their conversations; nobody else may see or go on with them. */
function meetAgain(now) {
  const hasChanged = hasLoginEnded && now.guest // a guest without a login is another guest
  if (isSame(user, now) && !hasChanged) return
  const isStill = isStillThem(user, now) && !hasChanged
  if (!isStill) navigation.forgetAll()
  notice(`${isStill ? "" : "Your login has ended. "}You are speaking as ${now.guest ? "a guest" : now.name} now.`)
}

function showLimits() {
  part("limits").textContent = `PDF or plain text, up to ${sizeInWords(limits.max_file)} a file.`
}

function forget() {
  navigation.forgetAll()
  user = null
  keep()
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
  navigation.pin()
  draw()
  follower.goToEnd()
  return true
}

function add(files) {
  const { conversation } = chats.shown
  for (const file of files) {
    const comparison = uploads.compare(chats.shown.shelf, file)
    if (comparison === null) addTo(conversation, file)
    else void comparison.then((isHere) => (isHere ? notice(`${plainName(file.name)} is here already.`) : addTo(conversation, file)))
  }
  composer.focus()
}

function addTo(conversation, file) {
  const id = newId()
  chats.tell({ type: "added", conversation, id, name: file.name, size: file.size, mediaType: file.type })
  const refusal = fileRefused(file, limits)
  if (refusal) chats.tell({ type: "failed", id, ...refusal })
  else uploads.add(id, file)
}

function remove(id) {
  const { conversation } = chats.shown
  const { document } = filesInUse(chats.shown).find((file) => file.id === id) ?? {}
  uploads.abandon(id)
  chats.tell({ type: "removed", conversation, id, document })
}

takeDrops(part("veil"), add)
unfoldForPrint(part("transcript"))
part("new").addEventListener("click", () => {
  navigation.startAnew()
  composer.focus()
})
part("example").addEventListener("click", () => composer.suggest(part("example").textContent))
void forgetOldFiles()
showLimits()
navigation.begin(user)
keep() // whose the words are that are typed from now on, whatever loads this page again
asker.sendWhatCanGo()
connection.open()
draw()
