// What was asked and answered on this page: state + event -> state. No document, no socket, no clock.
//
// A turn is one question and its answer:
//   waiting (for documents, or for the connection) -> sent -> queued -> running -> done | cancelled | failed | lost
// Events are the server's frames as they came, and the page's own: asked, put, held, refused, withdrawn, stopping,
// repeated, disconnected.

/** A conversation in which nothing was asked yet; `conversation` is the label the server files it under. */
export function emptyTranscript(conversation) {
  return { conversation, turns: [] }
}

const OPEN = new Set(["waiting", "sent", "queued", "running"])

/** Whether an answer is still to come. */
export const isOpen = (turn) => OPEN.has(turn.status)

/** The turn that Stop means: the oldest one that is not over. */
export const openTurn = (state) => state.turns.find(isOpen)

/** The next state; an event that is unknown, or of another conversation, changes nothing. */
export function apply(state, event) {
  if (event.conversation !== undefined && event.conversation !== state.conversation) return state
  return Object.hasOwn(handlers, event.type) ? handlers[event.type](state, event) : state
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
  asked(state, { id, message, documents }) {
    const turn = {
      id,
      turn: null, // the server's name for it, known from `accepted` on
      message,
      documents,
      status: "waiting",
      waitsFor: null,
      stopping: false,
      progress: null,
      text: "",
      html: null,
      sources: [],
      late: [],
      error: null,
      repeated: false,
    }
    return { ...state, turns: [...state.turns, turn] }
  },

  held: (state, { id, waitsFor }) =>
    change(state, byId(id), (turn) => (turn.waitsFor === waitsFor ? turn : { ...turn, waitsFor })),

  put: (state, { id, documents }) =>
    change(state, byId(id), (turn) => ({ ...turn, documents, status: "sent", waitsFor: null })),

  refused: (state, { id, message }) => change(state, byId(id), (turn) => failed(turn, { code: null, message })),

  withdrawn: (state, { id }) => change(state, byId(id), (turn) => ({ ...turn, status: "cancelled" })),

  stopping: (state, { id }) => change(state, byId(id), (turn) => ({ ...turn, stopping: true })),

  // Asked again further down: an attempt that brought no word is taken away, one that did stays without its button.
  repeated(state, { id }) {
    const brief = state.turns.filter((turn) => turn.id !== id || turn.text !== "")
    return change({ ...state, turns: brief }, byId(id), (turn) => ({ ...turn, repeated: true }))
  },

  // What was on its way is lost, or is the reason of the close itself (`refused`). What waits here stays as it is.
  disconnected(state, { refused, message }) {
    const turns = state.turns.map((turn) => {
      if (!isOpen(turn) || turn.status === "waiting") return turn
      if (turn.status === "sent" && refused) return failed(turn, { code: null, message })
      return { ...turn, status: "lost", progress: null }
    })
    return { ...state, turns }
  },

  accepted: (state, { id, turn: name, position }) =>
    change(state, byId(id), (turn) =>
      isOpen(turn) ? { ...turn, turn: name, status: position > 0 ? "queued" : "running" } : turn,
    ),

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
}

const byId = (id) => (turn) => turn.id === id
const byName = (name) => (turn) => turn.turn !== null && turn.turn === name
const running = (name) => (turn) => byName(name)(turn) && isOpen(turn)
const askedAs = (id) => (turn) => turn.id === id && isOpen(turn)
// The end of a turn holds the whole answer, so it is welcome even where the middle was lost.
const unfinished = (name) => (turn) => byName(name)(turn) && (isOpen(turn) || turn.status === "lost")

const failed = (turn, error) => ({ ...turn, status: "failed", progress: null, waitsFor: null, error })

/** The state with the matching turn changed; the very same state where nothing matched or changed. */
function change(state, matches, next) {
  const index = state.turns.findIndex(matches)
  if (index < 0) return state
  const turn = next(state.turns[index])
  if (turn === state.turns[index]) return state
  return { ...state, turns: state.turns.with(index, turn) }
}
