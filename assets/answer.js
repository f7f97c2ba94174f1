// Draws a finished answer and its sources: the one place where HTML of the server enters the page.

import { el } from "./dom.js"
import { sourceCard } from "./source_card.js"

const SHOWN_SOURCES = 3

/** The server's sanitised HTML as a fragment: parsed apart from the page, so that nothing in it runs or loads on the way. */
function fragmentOf(html) {
  const parsed = new DOMParser().parseFromString(html, "text/html")
  for (const link of parsed.querySelectorAll("a[href]")) {
    link.target = "_blank"
    link.rel = "noopener noreferrer nofollow"
  }
  const fragment = document.createDocumentFragment()
  fragment.append(...parsed.body.childNodes)
  return fragment
}

/** Puts the answer of a turn that is done into `element`. */
export function drawAnswer(element, { html, text }) {
  if (html === null) element.textContent = text
  else element.replaceChildren(fragmentOf(html))
}

/** The places in the documents that an answer rests on, or null where it names none. */
export function sourcesOf({ sources }) {
  if (sources.length === 0) return null
  const list = (some) => el("ol", { class: "sources-list" }, ...some.map(sourceCard))
  const more = sources.slice(SHOWN_SOURCES)
  return el(
    "section",
    { class: "sources", "aria-label": "Sources" },
    list(sources.slice(0, SHOWN_SOURCES)),
    more.length > 0 ? el("details", { class: "more-sources" }, el("summary", { text: `${more.length} more` }), list(more)) : null,
  )
}
