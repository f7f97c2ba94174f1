// What the end of a connection means: words for the person, and what the page does next. Pure.

/** What a browser calls the end of a connection that just broke. */
export const LOST_CODE = 1006

/** What this page calls it when the browser says that the device has no network. */
export const OFFLINE_CODE = 0

const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 30_000

// words: what happened. slow: wait long at once. refused: what was sent last is the reason. login: see who speaks now.
const CLOSES = {
  [OFFLINE_CODE]: { words: "This device is offline." },
  1001: { words: "The server is restarting." },
  1008: { words: "The server could not make sense of what this page sent.", slow: true, refused: true },
  1009: { words: "The question was too large for the server.", refused: true },
  1012: { words: "The server is restarting." },
  1013: { words: "The server is busy.", slow: true },
  4401: { words: "Your login has ended.", login: true },
  4429: { words: "You have too many chat pages open. Close one of them.", slow: true },
}
const LOST = { words: "The connection to the server is lost." }

/** The meaning of a close code: {words, slow, refused, login}; codes without a meaning of their own count as a lost line. */
export function meaningOf(code) {
  return { slow: false, refused: false, login: false, ...(CLOSES[code] ?? LOST) }
}

/**
 * Milliseconds until the next try, the first being attempt 0: doubled each time up to half a minute, and spread by
 * chance over the upper half so that all pages of a restarted server do not come back at once.
 */
export function pauseBefore(attempt, { slow = false, chance = Math.random() } = {}) {
  const most = slow ? LONGEST_PAUSE_MS : Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempt)
  return Math.round(most * (0.5 + chance / 2))
}
