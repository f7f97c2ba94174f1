// Where a conversation is found: the part of the page's address behind the #, which no server sees.

/** The label of the conversation that an address names, or null. */
export function labelIn({ hash }) {
  try {
    return decodeURIComponent(hash.slice(1)) || null
  } catch {
    return null // not made by this page
  }
}

/** The address that names a conversation; with null, the page's own. */
export const addressOf = (label) => location.pathname + location.search + (label === null ? "" : `#${encodeURIComponent(label)}`)
