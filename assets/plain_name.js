// Names of files as they can be trusted. Pure.

const TURNS = /[\u200E\u200F\u202A-\u202E\u2066-\u2069]/g

/** A name, or a sentence with one in it, without the marks that turn letters around: "gnp.txt" shall not read "txt.png". */
export const plainName = (name) => name.replace(TURNS, "")
