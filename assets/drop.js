// Takes files that are dropped anywhere on the page.

/** Calls `add(files)` for every drop; `veil` is shown while files hover over the page. */
export function takeDrops(veil, add) {
  let depth = 0 // dragenter and dragleave come for every element on the way
  const show = (change) => {
    depth = Math.max(0, depth + change)
    veil.hidden = depth === 0
  }
  const hasFiles = (event) => event.dataTransfer.types.includes("Files")

  addEventListener("dragenter", (event) => hasFiles(event) && show(+1))
  addEventListener("dragleave", (event) => hasFiles(event) && show(-1))
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return
    event.preventDefault() // else the browser would open the file in place of the page
    event.dataTransfer.dropEffect = "copy"
  })
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return
    event.preventDefault()
    show(-depth)
    add(event.dataTransfer.files)
  })
}
