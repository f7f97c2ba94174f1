// What a page that is loaded again must still know: questions the server has not confirmed, the files of a conversation
// and those taken off it, and which conversation was shown. Kept for this tab alone, and for whoever was speaking.

import { mayExist } from "./chats.js"
import { isUnconfirmed } from "./turn.js"

const KEY = "miva.chats"
const MOST_CHATS = 20

/** Keeps the state of `chats`; says whether the browser had the room. */
export function keepChats(speaker, chats) {
  const isWorthIt = ({ questions, files, dropped }) => questions.length + files.length + dropped.length > 0
  const some = chats.all.map(withoutWhatTheServerKnows).filter(isWorthIt)
  const { shown } = chats
  const about = { speaker, shown: shown.conversation, mayExist: mayExist(shown) }
  const kept = JSON.stringify({ ...about, chats: some.slice(-MOST_CHATS) })
  try {
    if (sessionStorage.getItem(KEY) !== kept) sessionStorage.setItem(KEY, kept)
    return true
  } catch {
    return false
  }
}

/** What was kept: {speaker, shown, mayExist, chats: [{conversation, questions, files, dropped}]}, or null. */
export function keptChats() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY))
  } catch {
    return null
  }
}

/** The events by which a kept conversation comes to be known again. */
export function eventsOf({ conversation, questions, files, dropped = [] }) {
  const asked = questions.map(({ id, message, documents, isOut, stopping }) => ({
    type: "asked",
    conversation,
    id,
    message,
    documents,
    kept: { isOut, stopping },
  }))
  const added = files.map(({ id, name, size, mediaType, ...kept }) => ({
    type: "added",
    conversation,
    id,
    name,
    size,
    mediaType,
    kept,
  }))
  const removed = dropped.map((document) => ({ type: "removed", conversation, document }))
  return [{ type: "kept", conversation }, ...added, ...asked, ...removed]
}

function withoutWhatTheServerKnows({ conversation, transcript, shelf, dropped }) {
  const questions = transcript.turns.filter(isUnconfirmed)
  return {
    conversation,
    questions: questions.map(({ id, message, documents, isOut, stopping }) => ({ id, message, documents, isOut, stopping })),
    files: shelf.map((file) => ({ ...file, status: file.status === "sending" ? "waiting" : file.status, done: 0, total: 0 })),
    dropped,
  }
}
