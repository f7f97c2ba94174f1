// The page's own sentences: what a question or a file is waiting for, how far it is, how large. Pure.

const number = new Intl.NumberFormat("en")

const KB = 1024 // the server's limit is set in such units
const MB = KB * KB

/** 1572864 -> "1.5 MB" */
export function sizeInWords(bytes) {
  if (bytes < KB) return `${bytes} bytes`
  if (bytes < MB) return `${Math.round(bytes / KB)} kB`
  return `${number.format(Math.round((10 * bytes) / MB) / 10)} MB`
}

export const pagesInWords = (pages) => (pages === 1 ? "1 page" : `${number.format(pages)} pages`)

/** What stands under a file's name. */
export function fileInWords(file) {
  const { status, done, total } = file
  if (status === "waiting") return "waiting to be sent"
  if (status === "sending") return `sending, ${Math.floor((100 * done) / total)} % of ${sizeInWords(file.size)}`
  if (status === "reading") return total > 0 ? `reading page ${number.format(done)} of ${number.format(total)}` : "reading…"
  if (status === "indexing") return "almost ready…"
  if (status === "locked") return "locked with a password"
  if (status === "ready") return file.pages ? pagesInWords(file.pages) : "ready"
  return file.error.message
}

/** What stands where the answer will be; null where the answer speaks for itself. `files` are those still to come. */
export function turnInWords(turn, files) {
  if (turn.status === "waiting") return waitingInWords(turn, files)
  if (turn.status === "sent") return "Sending…"
  if (turn.status === "queued") return "Waits for the answer before it."
  if (turn.status === "running" && turn.stopping) return "Stopping…"
  if (turn.status === "running") return turn.text ? null : progressInWords(turn.progress)
  if (turn.status === "cancelled") return turn.turn ? "Stopped." : "Not asked."
  if (turn.status === "lost" && !turn.turn) return "The connection broke before the server confirmed this question."
  if (turn.status === "lost") return "The connection broke in the middle of this answer."
  if (turn.status === "failed") return turn.error.message
  return null
}

function waitingInWords(turn, files) {
  if (turn.waitsFor !== "documents") return "Not sent yet: it goes out as soon as the connection is back."
  const locked = files.find((file) => file.status === "locked")
  if (locked) return `Waits for the password of ${locked.name}.`
  return files.length === 1 ? `Will be asked when ${files[0].name} has been read.` : "Will be asked when all files have been read."
}

function progressInWords(progress) {
  const { stage, done, total } = progress ?? {}
  const far = total > 0 ? `, ${number.format(done)} of ${number.format(total)}` : ""
  if (stage === "extract") return total > 0 ? `Reading page ${number.format(done)} of ${number.format(total)}…` : "Reading…"
  if (stage === "ocr") return `Reading scanned pages${far}…`
  if (stage === "index") return `Preparing the document${far}…`
  return "Thinking…"
}

// This page sends no frame over 256 KiB; what is above this is left for the names of the files.
const LONGEST_MESSAGE_BYTES = 240 * 1024

/** What is wrong with a question before it is sent, or null. Characters are counted as the server counts them. */
export function questionTooLong(message, limits) {
  const way = "Shorten it, or drop the text here as a .txt file."
  const characters = [...message].length
  const most = limits?.max_message ?? Infinity
  if (characters > most) {
    return `Your question has ${number.format(characters)} characters, but only ${number.format(most)} fit. ${way}`
  }
  const bytes = new TextEncoder().encode(JSON.stringify(message)).length
  return bytes > LONGEST_MESSAGE_BYTES ? `Your question is too long to be sent in one piece. ${way}` : null
}

/** What is wrong with a file before it is sent, or null. */
export function fileRefused({ name, type, size }, limits) {
  const isKnown = /\.(pdf|txt)$/i.test(name) || type === "application/pdf" || type === "text/plain"
  if (!isKnown) return { code: "unsupported_type", message: "Only PDF and plain text files can be read." }
  if (size === 0) return { code: "broken_pdf", message: "This file is empty." }
  if (size > (limits?.max_file ?? Infinity)) {
    return { code: "file_too_large", message: `This file has ${sizeInWords(size)}; at most ${sizeInWords(limits.max_file)} can be read.` }
  }
  return null
}
