// The page's own sentences: what a question or a file is waiting for, how far it is, how large. Pure.

import { plainName } from "./plain_name.js"

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

const LONGEST_NAME_TO_ASK = 20 // what fits on a small phone: a field cannot shorten its own hint

/** What stands in the empty field for a question. */
export function askAboutInWords(files) {
  if (files.length === 0) return "Ask a question, or drop a PDF"
  if (files.length > 1) return `Ask about these ${files.length} files`
  const name = plainName(files[0].name)
  return `Ask about ${name.length > LONGEST_NAME_TO_ASK ? "this file" : name}`
}

export const WRONG_PASSWORD = "That password does not open it."

/** What stands under a file's name. */
export function fileInWords(file) {
  const { status, done, total } = file
  if (status === "waiting") return "waiting to be sent"
  if (status === "sending") return `sending, ${Math.floor((100 * done) / total)} % of ${sizeInWords(file.size)}`
  if (status === "reading") return total > 0 ? `reading page ${number.format(done)} of ${number.format(total)}` : "reading…"
  if (status === "indexing") return "almost ready…"
  if (status === "locked") return "locked with a password"
  if (status === "inherited") return "from this conversation"
  if (status === "known") return "Still used here. A new chat, or another file, leaves it out."
  if (status === "ready") return file.pages ? pagesInWords(file.pages) : "ready"
  return failureInWords(file)
}

/** What is said of a file that needs nobody, or a person: as under its name, but that a password was wrong. */
export const newsInWords = (file) => (file.status === "locked" && file.passwordTried ? WRONG_PASSWORD : fileInWords(file))

const failureInWords = ({ error: { code, message } }) => message ?? fileErrorInWords(code)

/** Why a question was not answered: these of its files, {name}, are not at the server any more; a name may be null. */
export function deletedInWords(files) {
  const names = files.map(({ name }) => name ?? "a file").map(plainName)
  return `This was not answered, because ${names.join(" and ")} ${names.length > 1 ? "were" : "was"} deleted.`
}

/** What stands for all files together that could not be read. */
export const unreadCountInWords = (count) => (count === 1 ? "1 file could not be read" : `${count} files could not be read`)

/** Why a question was not asked: each of its files that could not be read, and what was wrong with it. */
export function unreadInWords(files) {
  if (files.length === 1) return `This was not asked, because ${plainName(files[0].name)} could not be read. ${failureInWords(files[0])}`
  const each = files.map((file) => `${plainName(file.name)}: ${failureInWords(file)}`)
  return [`This was not asked, because ${unreadCountInWords(files.length)}.`, ...each].join("\n")
}

// Where a file's failure is told by its code alone.
const FILE_ERRORS = {
  unsupported_type: "Only PDF and plain text files can be read.",
  not_a_pdf: "This file is not a PDF, whatever its name says.",
  broken_pdf: "This PDF is damaged and no text could be read from it.",
  no_text: "No text was found in this file. It may hold only pictures of pages.",
  file_too_large: "This file is too large.",
  too_many_pages: "This PDF has too many pages.",
  extraction_timeout: "Reading this file took too long, so it was stopped.",
  extraction_memory: "Reading this file needed more memory than is allowed, so it was stopped.",
  bad_field: "This file did not arrive as it was sent, or is not in UTF-8.",
  busy: "The server had no time for this file.",
}

const fileErrorInWords = (code) => FILE_ERRORS[code] ?? "This file could not be read."

/**
 * What stands where the answer will be; null where the answer speaks for itself. `files` are those of the question that
 * are still to come, `isConnected` says whether anything can.
 */
export function turnInWords(turn, files, isConnected) {
  const { status, stopping, text, error } = turn
  if (status === "waiting") return waitingInWords(turn, files)
  if (status === "sent") return "Sending…"
  if ((status === "queued" || status === "running") && !isConnected) {
    if (stopping) return "Will be stopped when the connection is back."
    return text ? "The rest of this answer comes when the connection is back." : "The answer comes when the connection is back."
  }
  if (status === "queued") return "Waits for the answer before it."
  if (status === "running" && stopping) return "Stopping…"
  if (status === "running") return text ? null : runningInWords(turn, files)
  if (status === "cancelled") return turn.turn ? "Stopped." : "Not asked."
  if (status === "lost") return "What became of this answer is not known any more."
  if (status === "failed") return plainName(error.message)
  return null
}

/** What stands where an earlier part of the conversation will be. */
export const openingInWords = (isConnected) =>
  isConnected ? "Opening the conversation…" : "The conversation is shown when the connection is back."

function waitingInWords({ waitsFor, isOut, stopping }, files) {
  if (waitsFor === "pause") return "Will be asked in a moment: there were too many questions in a short time."
  if (waitsFor === "documents" || files.some(isLocked)) return filesInWords(files)
  if (waitsFor === "order") return "Will be asked after the question before it."
  if (stopping) return "Will be stopped when the connection is back."
  if (isOut) return "Not confirmed yet: it is sent again as soon as the connection is back."
  return "Not sent yet: it goes out as soon as the connection is back."
}

const isLocked = ({ status }) => status === "locked"

function filesInWords(files) {
  const locked = files.find(isLocked)
  if (locked) return `Waits for the password of ${plainName(locked.name)}.`
  return files.length === 1 ? `Will be asked when ${plainName(files[0].name)} has been read.` : "Will be asked when all files have been read."
}

function runningInWords({ progress, attempt }, files) {
  if (files.length > 0 && progress === null) return filesInWords(files)
  if (attempt > 1 && progress === null) return "The answer was interrupted and is being given again…"
  return progressInWords(progress)
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
