// Sends files to the server, at most two at a time, and tells how far each one is.

const AT_ONCE = 2
// Worth another try without changing anything: the line broke, or the server had no time.
const WORTH_ANOTHER_TRY = new Set(["network", "busy", "rate_limited", "internal", "extraction_timeout", "engine_unavailable"])

const waiting = []
const requests = new Map() // upload id -> XMLHttpRequest under way

/**
 * Puts a file in the queue. `tell` gets the shelf's events: `sending`, then `ready` or `failed`.
 * A file that is sent again, with a password or because the line broke, keeps its id.
 */
export function send({ id, file, password, tell }) {
  waiting.push({ id, file, password, tell })
  next()
}

/** Forgets a file, wherever it stands; its `tell` is not called any more. */
export function abandon(id) {
  const index = waiting.findIndex((item) => item.id === id)
  if (index >= 0) waiting.splice(index, 1)
  const request = requests.get(id)
  requests.delete(id)
  request?.abort()
}

function next() {
  while (requests.size < AT_ONCE && waiting.length > 0) post(waiting.shift())
}

function post({ id, file, password, tell }) {
  const request = new XMLHttpRequest()
  requests.set(id, request)
  const finish = (event) => {
    if (requests.get(id) === request) {
      requests.delete(id)
      tell(event)
    }
    next()
  }

  request.upload.onprogress = ({ loaded, total }) => {
    if (requests.get(id) === request) tell({ type: "sending", id, done: loaded, total })
  }
  request.onload = () => finish(outcome(id, request))
  request.onerror = () => finish(failure(id, "network", "The connection broke while the file was sent."))
  request.onabort = next
  tell({ type: "sending", id, done: 0, total: file.size || 1, passwordTried: Boolean(password) })

  const form = new FormData()
  form.append("id", id)
  if (password) form.append("password", password)
  form.append("file", file, file.name)
  request.open("POST", "/api/document/")
  request.setRequestHeader("X-CSRFToken", csrfToken())
  request.setRequestHeader("Accept", "application/json")
  request.send(form)
}

function outcome(id, request) {
  let answer = {}
  try {
    answer = JSON.parse(request.responseText)
  } catch {
    // something between the browser and the server answered in its own words; the status has to do
  }
  if (request.status === 201 && answer.document_id) {
    return { type: "ready", id, document: answer.document_id, pages: answer.pages }
  }
  if (answer.code) return failure(id, answer.code, answer.error)
  if (request.status === 413) return failure(id, "file_too_large", "The server does not take files as large as this one.")
  return failure(id, "internal", `The server did not take the file (it answered ${request.status}).`)
}

const failure = (id, code, message) => ({ type: "failed", id, code, message, again: WORTH_ANOTHER_TRY.has(code) })

/** The token that Django wants to see again with every POST; read anew each time, as signing in changes it. */
export function csrfToken() {
  return /(?:^|; )csrftoken=([^;]*)/.exec(document.cookie)?.[1] ?? ""
}
