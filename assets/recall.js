// What the stored messages of a conversation say, joined with what a page has seen of it. Pure.

import { isOpen, newTurn, withoutFruitless } from "./turn.js"

/**
 * The turns of a transcript once the server's `messages` are known: what they hold stands in their order, and what they
 * do not hold (still running, not yet sent) keeps its place. A turn that was running when the page lost sight of the log,
 * and left neither an event nor a message, is lost.
 */
export function recall({ turns, floor }, messages) {
  const told = turnsOf(messages).reduce((turns, turn) => [...withoutFruitless(turns, turn), turn], [])
  const before = []
  const after = []
  for (const turn of turns) {
    const index = told.findIndex((other) => isSame(other, turn))
    if (index >= 0) {
      before.push(...told.splice(0, index))
      const now = told.shift()
      const isKnown = !isOpen(turn) && turn.status !== "lost" // with its words or its error, of which messages may tell less
      before.push(isKnown ? turn : { ...now, id: turn.id, documents: turn.documents, seq: turn.seq })
    } else if (!isOpen(turn)) before.push(turn)
    else if (turn.seq !== null && turn.seq <= floor) before.push({ ...turn, status: "lost", progress: null })
    else after.push(turn)
  }
  return [...before, ...told, ...after]
}

const isSame = (one, other) => one.id === other.id || (one.turn !== null && one.turn === other.turn)

/** Stored messages as turns: each question with the answer behind it, if there is one. */
function turnsOf(messages) {
  const turns = []
  for (const message of messages) {
    if (message.role === "user") turns.push(questionOf(message))
    else if (turns.length > 0) turns.push(answered(turns.pop(), message))
  }
  return turns
}

function questionOf({ id, turn, content, files, state }) {
  const documents = (files ?? []).map((name) => ({ upload: null, document: null, name }))
  const asked = { ...newTurn({ id: turn ?? `message-${id}`, message: content, documents }), turn: turn ?? null, status: "lost" }
  if (state === "cancelled") return { ...asked, status: "cancelled" }
  if (state === "failed") return { ...asked, status: "failed", error: { code: null, message: "This question was not answered." } }
  return asked
}

const answered = (turn, { content, html, sources }) => ({
  ...turn,
  status: "done",
  text: content,
  html: html ?? null,
  sources: sources ?? [],
})
