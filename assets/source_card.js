// One source of an answer: its quote is cut to two lines until it is opened, as most of it stands in the answer already.
// Where all of it fits there is nothing to open.

import { el } from "./dom.js"
import { plainName } from "./plain_name.js"

const cards = new WeakMap() // quote -> what looks again whether it fits
const sizes = new ResizeObserver((changes) => changes.forEach(({ target }) => cards.get(target)()))

/** The list item of a source: {name, page, quote}. */
export function sourceCard({ name, page, quote }) {
  const place = el(
    "span",
    { class: "source-place" },
    el("bdi", { class: "source-name", text: plainName(name) }),
    page ? el("span", { class: "source-page", text: `page ${page}` }) : null,
  )
  if (!quote) return el("li", {}, el("div", { class: "source" }, el("div", { class: "source-card" }, place)))
  const words = el("q", { class: "source-quote", dir: "auto", text: quote })
  const item = el("li", {}, el("div", { class: "source" }, el("div", { class: "source-card" }, place, words)))
  cards.set(words, () => {
    const isFolded = item.firstChild.matches("details")
    if (item.firstChild.open || !words.clientHeight) return
    const isCut = words.scrollHeight > words.clientHeight
    if (isCut === isFolded) return
    const [box, card] = isCut ? ["details", "summary"] : ["div", "div"]
    item.replaceChildren(el(box, { class: "source" }, el(card, { class: "source-card" }, place, words)))
  })
  sizes.observe(words)
  return item
}
