// The files that the questions of this conversation are about: state + event -> state. No document, no network.
//
//   waiting -> sending -> reading -> indexing -> ready | locked (a password is needed) | failed
// Events are the server's `progress` and `document` frames, and the page's own: added, sending, ready, failed, removed.

/** No files yet. */
export const emptyShelf = () => []

const SETTLED = new Set(["ready", "locked", "failed"])
const STATUS_OF_STAGE = { extract: "reading", ocr: "reading", index: "indexing" }

/** Whether a question about this file still has to wait: for its bytes, its pages or its password. */
export const isComing = (file) => file.status !== "ready" && file.status !== "failed"

/** Whether a question that is typed now is meant to be about this file. */
export const isUsable = (file) => file.status !== "failed"

/** The next state; events of files that are not on the shelf change nothing. */
export function shelve(files, event) {
  if (event.type === "added") return [...files, newFile(event)]
  if (event.type === "removed") return files.filter((file) => file.id !== event.id)
  if (!Object.hasOwn(handlers, event.type)) return files
  return files.map((file) => (file.id === event.id ? handlers[event.type](file, event) : file))
}

const newFile = ({ id, name, size }) => ({
  id, // the page's own name for the upload
  document: null, // the server's
  name,
  size,
  status: "waiting",
  done: 0,
  total: 0,
  pages: null,
  error: null,
  passwordTried: false,
})

const handlers = {
  sending: (file, { done, total, passwordTried }) => ({
    ...file,
    status: done < total ? "sending" : "reading",
    done: done < total ? done : 0,
    total: done < total ? total : 0,
    error: null,
    passwordTried: passwordTried ?? file.passwordTried,
  }),

  // What the server tells while it reads may arrive after the answer to the upload itself, which counts.
  progress(file, { stage, done, total, document }) {
    const status = STATUS_OF_STAGE[stage]
    if (SETTLED.has(file.status) || !status) return file
    return { ...file, status, done, total, document: document ?? file.document }
  },

  document(file, { document }) {
    if (SETTLED.has(file.status)) return file
    return { ...file, document: document.id, pages: document.pages ?? file.pages }
  },

  ready: (file, { document, pages }) => ({ ...file, status: "ready", document, pages: pages ?? file.pages, done: 0, total: 0 }),

  failed: (file, { code, message, again }) => ({
    ...file,
    status: code === "encrypted_pdf" ? "locked" : "failed",
    error: { code, message, again },
    done: 0,
    total: 0,
  }),
}
