// What was asked and answered in one conversation: state + event -> state. No document, no socket, no clock.
//
// A turn is one question and its answer:
//   waiting (for documents, or for the connection) <-> sent -> queued -> running -> done | cancelled | failed | lost
// Events are the server's frames as they came, and the page's own: asked, put, putBack, held, refused, withdrawn,
// stopping, disconnected, recalled, named.
//
// `seq` is the number of the last event of the log that was taken in: each is taken once and in order. What comes twice,
// or too early, changes nothing; `placeOf` tells which it is. Nothing up to `floor` will be told any more.

import { recall } from "./recall.js"
import { isOpen, isUnconfirmed, newTurn, withoutFruitless } from "./turn.js"

/** A conversation of which nothing is known yet; `conversation` is the label the server files it under. */
export function emptyTranscript(conversation) {
  return { conversation, seq: 0, floor: 0, turns: [] }
}

/** The turn that Stop means: the oldest one that is not over. */
export const openTurn = (state) => state.turns.find(isOpen)

/** Whether there is anything to stop; a question that was not sent yet is taken back where it stands. */
export const isAnswering = (state) => (openTurn(state)?.status ?? "waiting") !== "waiting"

/** Where an event stands: "next", or "seen", or "early" with others missing before it. */
export function placeOf(state, { seq }) {
  if (seq === undefined || seq === state.seq + 1) return "next"
  return seq <= state.seq ? "seen" : "early"
}

/** The next state; an event that is unknown, seen, too early, or of another conversation, changes nothing. */
export function apply(state, event) {
  if (event.conversation !== undefined && event.conversation !== state.conversation) return state
  const place = placeOf(state, event)
  // `accepted` is repeated where a question was asked again, and may then answer a turn that still waits for it.
  if (place === "early" || (place === "seen" && event.type !== "accepted")) return state
  const next = Object.hasOwn(handlers, event.type) ? handlers[event.type](state, event) : state
  return event.seq > next.seq ? { ...next, seq: event.seq } : next
}

/** The words in an engine's untyped frame: its message, response, content or text, else the frame itself. */
export function wordsOfFrame(frame) {
  try {
    const data = JSON.parse(frame)
    const words = [data?.message, data?.response, data?.content, data?.text]
    return words.find((word) => typeof word === "string") ?? frame
  } catch {
    return frame
  }
}

const handlers = {
  asked: (state, turn) => ({ ...state, turns: [...withoutFruitless(state.turns, turn), { ...newTurn(turn), ...turn.kept }] }),

  held: (state, { id, waitsFor }) =>
    change(state, byId(id), (turn) => (turn.waitsFor === waitsFor ? turn : { ...turn, waitsFor })),

  put: (state, { id, documents }) =>
    change(state, byId(id), (turn) => ({ ...turn, documents, status: "sent", isOut: true, waitsFor: null })),

  putBack: (state, { id, waitsFor }) =>
    change(state, sent(id), (turn) => ({ ...turn, status: "waiting", isOut: false, waitsFor })),

  refused: (state, { id, message }) => change(state, byId(id), (turn) => failed(turn, { code: null, message })),

  withdrawn: (state, { id }) => change(state, byId(id), (turn) => ({ ...turn, status: "cancelled" })),

  stopping: (state, { id }) => change(state, byId(id), (turn) => ({ ...turn, stopping: true })),

  // An unconfirmed question is sent once more under the same id, unless it is the reason of the close (`refused`).
  disconnected(state, { refused, message }) {
    const turns = state.turns.map((turn) => {
      if (turn.status !== "sent") return turn
      return refused ? failed(turn, { code: null, message }) : { ...turn, status: "waiting", waitsFor: "connection" }
    })
    return { ...state, turns }
  },

  // What is accepted stands in the order of the log, and before what is not.
  accepted(state, event) {
    const { id, turn: name, seq, message, documents, position } = event
    if (state.turns.some(byName(name))) {
      return { ...state, turns: state.turns.filter((turn) => turn.id !== id || turn.turn === name) }
    }
    const known = state.turns.find(byId(id))
    if (known && !isOpen(known)) return state
    const asked = known ?? newTurn({ id, message, documents: [] })
    const status = seq <= state.floor ? "lost" : position > 0 ? "queued" : "running"
    const about = told(documents, [...state.turns, asked].flatMap((one) => one.documents))
    const turn = { ...asked, documents: about, turn: name, seq, status, waitsFor: null }
    const others = known ? state.turns.filter((other) => other !== known) : withoutFruitless(state.turns, event)
    const place = others.findIndex(isUnconfirmed)
    return { ...state, turns: others.toSpliced(place < 0 ? others.length : place, 0, turn) }
  },

  progress: (state, { turn: name, stage, done, total }) =>
    change(state, running(name), (turn) => ({ ...turn, status: "running", progress: { stage, done, total } })),

  thinking: (state, { turn: name }) =>
    change(state, running(name), (turn) => ({ ...turn, status: "running", progress: null })),

  delta: (state, { turn: name, text }) =>
    change(state, running(name), (turn) => ({ ...turn, status: "running", progress: null, text: turn.text + text })),

  reply(state, { turn: name, frame, late }) {
    const words = wordsOfFrame(frame)
    if (late) return change(state, byName(name), (turn) => ({ ...turn, late: [...turn.late, words] }))
    return change(state, running(name), (turn) => ({
      ...turn,
      status: "running",
      progress: null,
      text: turn.text ? `${turn.text}\n\n${words}` : words,
    }))
  },

  reset: (state, { turn: name, attempt }) =>
    change(state, running(name), (turn) => ({ ...turn, status: "running", progress: null, text: "", attempt })),

  done: (state, { turn: name, text, html, sources }) =>
    change(state, unfinished(name), (turn) => ({
      ...turn,
      status: "done",
      progress: null,
      text,
      html,
      sources: sources ?? [],
    })),

  cancelled: (state, { turn: name }) =>
    change(state, unfinished(name), (turn) => ({ ...turn, status: "cancelled", progress: null })),

  error: (state, { turn: name, id, code, message }) =>
    change(state, name ? unfinished(name) : askedAs(id), (turn) => failed(turn, { code, message })),

  // The log begins after what was asked for: the messages tell the rest.
  gap: (state, { head }) => ({ ...state, seq: head, floor: head }),

  recalled: (state, { messages }) => ({ ...state, turns: recall(state, messages) }),

  named(state, { names }) {
    const turns = state.turns.map((turn) => {
      if (turn.documents.every(({ document, name }) => name !== null || !names[document])) return turn
      const documents = turn.documents.map((about) => ({ ...about, name: about.name ?? names[about.document] ?? null }))
      return { ...turn, documents }
    })
    return { ...state, turns }
  },
}

const byId = (id) => (turn) => turn.id === id
const byName = (name) => (turn) => turn.turn !== null && turn.turn === name
const running = (name) => (turn) => byName(name)(turn) && isOpen(turn)
const sent = (id) => (turn) => turn.id === id && turn.status === "sent"
const askedAs = (id) => (turn) => turn.id === id && isOpen(turn)
// The end of a turn holds the whole answer, so it is welcome even where the middle was lost.
const unfinished = (name) => (turn) => byName(name)(turn) && (isOpen(turn) || turn.status === "lost")

/** What the server says a question is about, which may be more than it named, as far as the page knows these documents. */
const told = (documents, known) =>
  documents.map((id) => known.findLast(({ document }) => document === id) ?? { upload: null, document: id, name: null })

const failed = (turn, error) => ({ ...turn, status: "failed", progress: null, waitsFor: null, error })

/** The state with the matching turn changed; the very same state where nothing matched or changed. */
function change(state, matches, next) {
  const index = state.turns.findIndex(matches)
  if (index < 0) return state
  const turn = next(state.turns[index])
  if (turn === state.turns[index]) return state
  return { ...state, turns: state.turns.with(index, turn) }
}
