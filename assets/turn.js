// One question and its answer, as far as it is known. Pure.

/** A turn of which only the question is known. `documents` are {upload, document, name}, where each may be null. */
export const newTurn = ({ id, message, documents }) => ({
  id, // the client's name for it, unique for its owner
  turn: null, // the server's, known from `accepted` on
  seq: null, // of `accepted`
  message,
  documents,
  status: "waiting",
  isOut: false, // it has been sent, so the server may have it
  waitsFor: null,
  stopping: false,
  attempt: 1,
  progress: null,
  text: "",
  html: null,
  sources: [],
  late: [],
  error: null,
  repeated: false,
})

const OPEN = new Set(["waiting", "sent", "queued", "running"])

/** Whether an answer is still to come. */
export const isOpen = (turn) => OPEN.has(turn.status)

/** Whether the server has not yet said that it has the question. */
export const isUnconfirmed = (turn) => turn.status === "waiting" || turn.status === "sent"

/** Where a question is asked again, attempts that brought no word are taken away; one that did loses its button. */
export function withoutFruitless(turns, { message }) {
  const isBefore = (turn) => turn.message === message && !isOpen(turn) && turn.status !== "done"
  const kept = turns.filter((turn) => !isBefore(turn) || turn.text !== "")
  return kept.map((turn) => (isBefore(turn) ? { ...turn, repeated: true } : turn))
}
