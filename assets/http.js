// Calls of the server's HTTP interface with this browser's cookies.

/** The token that Django wants to see again with every change; read anew each time, as signing in changes it. */
export function csrfToken() {
  return /(?:^|; )csrftoken=([^;]*)/.exec(document.cookie)?.[1] ?? ""
}

/**
 * One call; resolves to {status, answer}, where the answer is null if it is no JSON (something between the browser and
 * the server spoke in its own words). Rejects where the line broke, or `signal` did.
 */
export async function call(method, address, { body, signal } = {}) {
  const headers = { Accept: "application/json" }
  if (method !== "GET") headers["X-CSRFToken"] = csrfToken()
  if (body !== undefined) headers["Content-Type"] = "application/json"
  const response = await fetch(address, {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store",
    signal,
  })
  const text = await response.text()
  try {
    return { status: response.status, answer: JSON.parse(text) }
  } catch {
    return { status: response.status, answer: null }
  }
}

/** The address of a conversation's part of the interface: its `messages`, `events`, `ask` or `cancel`. */
export const sessionAddress = (conversation, part) => `/api/session/${encodeURIComponent(conversation)}/${part}/`
