// The bytes of files that the server does not have yet, kept in the browser so that a page loaded again can go on.
// Where the browser keeps nothing (a private window), nothing is kept: then such a file has to be added once more.

const DATABASE = "miva"
const STORE = "files"
const LONGEST_MS = 24 * 60 * 60 * 1000 // the server forgets half a file after a day, too

/** Keeps a file under its upload id, until it is forgotten or a day has passed. */
export function keepFile(id, file) {
  return inStore("readwrite", (store) => store.put({ file, at: Date.now() }, id))
}

/** The kept file, or null. */
export async function keptFile(id) {
  const kept = await inStore("readonly", (store) => store.get(id))
  return kept?.file ?? null
}

export function forgetFile(id) {
  return inStore("readwrite", (store) => store.delete(id))
}

/** Lets go of what pages that are gone have left behind. */
export function forgetOldFiles() {
  return inStore("readwrite", (store) => {
    const walk = store.openCursor()
    walk.onsuccess = () => {
      const cursor = walk.result
      if (cursor === null) return
      if (Date.now() - cursor.value.at > LONGEST_MS) cursor.delete()
      cursor.continue()
    }
  })
}

let opened = null

function database() {
  opened ??= new Promise((resolve) => {
    const request = indexedDB.open(DATABASE, 1)
    request.onupgradeneeded = () => request.result.createObjectStore(STORE)
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => resolve(null)
  })
  return opened
}

/** What `act(store)` asked for, once it is safe; null where it failed. */
async function inStore(mode, act) {
  try {
    const transaction = (await database()).transaction(STORE, mode)
    const request = act(transaction.objectStore(STORE))
    return await new Promise((resolve) => {
      transaction.oncomplete = () => resolve(request?.result ?? null)
      transaction.onabort = () => resolve(null)
    })
  } catch {
    return null
  }
}
