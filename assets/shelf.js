// The files that the questions of a conversation are about: state + event -> state. No document, no network.
//
//   waiting -> sending -> reading -> indexing -> ready | locked (a password is needed) | failed
// Events are the server's `progress` and `document` frames, and the page's own: added, sending, paused, ready, failed,
// removed, deleted (at the server), asked.

/** No files yet. */
export const emptyShelf = () => []

const SETTLED = new Set(["ready", "locked", "failed", "inherited", "known"]) // the last two: in_use.js
const STATUS_OF_STAGE = { extract: "reading", ocr: "reading", index: "indexing" }

/** Whether a question about this file still has to wait: for its bytes, its pages or its password. */
export const isComing = (file) => file.status !== "ready" && file.status !== "failed"

/** Whether a question that is typed now is meant to be about this file. */
export const isUsable = (file) => file.status !== "failed"

// The line broke, the server had no time, or something between the two failed: the same file may do on another day.
const PASSING = new Set(["network", "busy", "rate_limited", "internal", "extraction_timeout", "engine_unavailable"])

// What the server says of a file that is locked with a certificate, for one: no password opens it.
const LOCKED_FOR_GOOD = "This PDF is locked in a way that cannot be opened with a password here."

const isSameError = (one, other) => one?.code === other.code && one.message === other.message

/** Whether a file that failed may do at another try without being changed. */
export const mayBeTriedAgain = ({ status, error }) => status === "failed" && PASSING.has(error.code)

/** Whether a file has been told to be unreadable long enough: a question was asked since it came. */
export const isSetAside = (file) => file.status === "failed" && file.wasAsked && !mayBeTriedAgain(file)

/** Whether nobody has to do anything more for this file: it can be asked about, or not at all without a person. */
export const isSettled = (file) => SETTLED.has(file.status)

/** Whether the server has all of this file and could open it: it waits with a question until the rest is read. */
export const isInHand = ({ status, document, total }) =>
  status === "ready" || (document !== null && (status === "indexing" || (status === "reading" && total > 0)))

/** Whether a password was given for a file and the server has not said yet whether it opens it. */
export const isTryingPassword = (file) => file.passwordTried && !isSettled(file) && !isInHand(file)

/** The next state; events of files that are not on the shelf change nothing. */
export function shelve(files, event) {
  if (event.type === "added") return [...files, newFile(event)]
  if (event.type === "asked") return files.every(({ wasAsked }) => wasAsked) ? files : files.map(asked)
  if (event.type === "deleted") return files.map((file) => (event.documents.includes(file.document) ? deleted(file) : file))
  if (event.type === "removed") return files.filter((file) => file.id !== event.id)
  if (!Object.hasOwn(handlers, event.type) || !files.some(({ id }) => id === event.id)) return files
  return files.map((file) => (file.id === event.id ? handlers[event.type](file, event) : file))
}

// It stays in sight until the next question is asked without it.
const deleted = (file) => ({ ...handlers.failed(file, { code: "deleted", message: "This file was deleted." }), wasAsked: false })

const asked = (file) => ({ ...file, wasAsked: true })

/** `kept` is what was known of the file before the page was loaded again. */
const newFile = ({ id, name, size, mediaType, kept }) => ({
  id, // the page's own name for the upload
  document: null, // the server's
  name,
  size,
  mediaType,
  status: "waiting",
  done: 0,
  total: 0,
  pages: null,
  sha256: null, // of its bytes, as the server tells it
  error: null,
  passwordTried: false,
  wasAsked: false, // whether a question was asked since it was added
  ...kept,
})

const handlers = {
  sending(file, { done, total, passwordTried }) {
    const isSent = done >= total
    if (isSent && file.status !== "waiting" && file.status !== "sending") return file // the server told more already
    return {
      ...file,
      status: isSent ? "reading" : "sending",
      done: isSent ? 0 : done,
      total: isSent ? 0 : total,
      error: null,
      passwordTried: passwordTried ?? file.passwordTried,
    }
  },

  paused: (file) => (file.status === "sending" ? { ...file, status: "waiting", done: 0, total: 0 } : file),

  // Pages may be told of after the end of the reading; the end counts.
  progress(file, { stage, done, total, document }) {
    const status = STATUS_OF_STAGE[stage]
    if (isSettled(file) || !status) return file
    return { ...file, status, done, total, document: document ?? file.document }
  },

  document(file, { document: { id, status, pages, sha256, error, message } }) {
    const named = { ...file, document: id, pages: pages ?? file.pages, sha256: sha256 ?? file.sha256 }
    if (status === "ready") return handlers.ready(named, { document: id, pages })
    if (status === "failed") return file.status === "ready" ? file : handlers.failed(named, { code: error, message })
    if (status === "receiving" || file.status === "ready" || file.status === status) return named
    return { ...named, status, done: 0, total: 0, error: null }
  },

  ready: (file, { document, pages }) => ({
    ...file,
    status: "ready",
    document,
    pages: pages ?? file.pages,
    error: null,
    done: 0,
    total: 0,
  }),

  failed: (file, { code, message = null }) => ({
    ...file,
    status: code === "encrypted_pdf" && message !== LOCKED_FOR_GOOD ? "locked" : "failed",
    error: isSameError(file.error, { code, message }) ? file.error : { code, message },
    done: 0,
    total: 0,
  }),
}
