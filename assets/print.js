// Opens the folded sources while the page is printed: no style can.

/** `transcript` holds the conversation. */
export function unfoldForPrint(transcript) {
  let unfolded = []
  addEventListener("beforeprint", () => {
    unfolded = [...transcript.querySelectorAll(".more-sources:not([open])")]
    for (const details of unfolded) details.open = true
  })
  addEventListener("afterprint", () => {
    for (const details of unfolded) details.open = false
  })
}
