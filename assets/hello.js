// What the page was told about its visitor and the server's bounds when it was made, for when no socket says it.

/** The `hello` in a chat page's document; null where it is another page. */
export function helloOf(page) {
  const { hello } = page.body.dataset
  return hello === undefined ? null : { type: "hello", ...JSON.parse(hello) }
}

/** Whether two users, each {name, guest}, are the same as far as a page can tell: guests have no names of their own. */
export const isSame = (before, now) => before.guest === now.guest && (now.guest || before.name === now.name)

/** Whether what was said as `before` may be seen, and gone on with, as `now`: a guest who signs in takes it along. */
export const isStillThem = (before, now) => isSame(before, now) || before.guest
