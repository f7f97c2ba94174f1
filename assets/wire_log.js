// The page's words in the devtools console: two lines when the socket opens, and every frame where the address has ?debug.

const LONGEST = 200

/** Says that the socket is open, and where to. */
export function logOpened(url) {
  console.log("WebSocket connection established")
  console.log(`Connected to: ${url}`)
}

/** A logger of frames, silent unless the page's address asks for it: log("→", frame). */
export function frameLog(search) {
  if (!new URLSearchParams(search).has("debug")) return () => {}
  return (direction, frame) => console.log(`${direction} ${shortened(frame)}`)
}

/** A frame as one line, in which no string is longer than 200 characters. */
export function shortened(frame) {
  return JSON.stringify(frame, (_, value) => (typeof value === "string" ? shorter(value) : value))
}

const shorter = (text) => (text.length > LONGEST ? `${text.slice(0, LONGEST / 2)}… (${text.length} characters)` : text)
