// Where the keyboard is when something that could be pressed goes away: it must not fall out of the page.

let isFinger = false
addEventListener("pointerdown", ({ pointerType }) => (isFinger = pointerType === "touch"), { capture: true, passive: true })
addEventListener("keydown", () => (isFinger = false), { capture: true, passive: true })

/** Whether the keyboard is in an element, or on it. */
export const hasFocus = (element) => element.contains(document.activeElement)

/** Moves the keyboard on to a field, but not for a finger: a phone would cover with its own what was to be looked at. */
export function passFocusTo(field) {
  if (!isFinger) field.focus()
}
