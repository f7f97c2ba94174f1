// Which files a question that is typed now is about: those on the shelf, and those that the conversation goes on about.
// The server takes a question that names no file to be about the files of the last one that had any. Pure.

import { isUsable } from "./shelf.js"

/**
 * The files to show above the place to type: those on the shelf, then files of the conversation that are not there:
 * "inherited", which the next question names, or "known" where it names none and the server goes on about them anyway.
 */
export function filesInUse({ transcript, shelf, dropped, gone }) {
  const isHere = (document) => document !== null && shelf.some((file) => file.document === document)
  // One that was deleted has no name any more; of one that only the stored messages tell of, no more than the name is known.
  const about = lastAbout(transcript).filter(({ name, document }) => name !== null && !isHere(document) && !gone.includes(document))
  const inherited = about.filter(({ document }) => document !== null && !dropped.includes(document))
  if (inherited.length > 0 || shelf.some(isUsable)) return [...shelf, ...inherited.map(asFile("inherited"))]
  return [...shelf, ...about.map(asFile("known"))]
}

/** The documents of a question that is asked now, as its turn keeps them. */
export const documentsToName = (chat) =>
  filesInUse(chat)
    .filter((file) => isUsable(file) && file.status !== "known")
    .map(({ id, name, status, document }) =>
      status === "inherited" ? { upload: null, name, document } : { upload: id, name, document: null },
    )

/** The next list of documents that questions of this page are not to name any more. */
export const drop = (dropped, { type, document }) =>
  type === "removed" && document && !dropped.includes(document) ? [...dropped, document] : dropped

/** The next list of documents that are not at the server any more. */
export const lose = (gone, { type, documents }) => (type === "deleted" ? [...gone, ...documents] : gone)

const lastAbout = ({ turns }) => turns.findLast(({ turn, documents }) => turn !== null && documents.length > 0)?.documents ?? []

const asFile = (status) => ({ document, name }) => ({ id: document ?? name, document, name, status, done: 0, total: 0, error: null })
