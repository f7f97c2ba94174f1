// Follows the end of the transcript, but only while the reader is there.

import { hasFocus } from "./focus.js"

const NEAR_PX = 48
const AT_END_PX = 1 // a zoomed page scrolls by parts of a pixel
const MARGIN_PX = 16

export class Follower {
  #box
  #toEnd
  #left
  #isFollowing = true
  #at = 0

  /** `box` scrolls; `toEnd` is the button that is shown while the reader is elsewhere; `left()` is called as it goes. */
  constructor(box, toEnd, left) {
    this.#box = box
    this.#toEnd = toEnd
    this.#left = left
    box.addEventListener("scroll", () => this.#look(), { passive: true })
    toEnd.addEventListener("click", () => this.goToEnd())
    new ResizeObserver(() => this.settle()).observe(box)
  }

  /**
   * Called after the transcript has changed. `finished` is an element whose beginning the reader wants to see, an answer
   * that has come to its end: what comes in below it, its sources, does not push it out of sight.
   */
  settle(finished = null) {
    const box = this.#box
    if (box.scrollTop < this.#at) this.#look() // the reader went up, and the event that says so is still to come
    if (this.#isFollowing) {
      const end = box.scrollHeight - box.clientHeight
      box.scrollTop = finished ? Math.min(end, Math.max(box.scrollTop, topWithin(box, finished))) : end
    }
    this.#look()
  }

  goToEnd() {
    this.#isFollowing = true
    this.settle()
  }

  /** However little the reader goes up, the end is let go of; whoever comes near it again is taken along again. */
  #look() {
    const { scrollHeight, scrollTop, clientHeight } = this.#box
    const below = scrollHeight - scrollTop - clientHeight
    const wentUp = scrollTop < this.#at
    const cameDown = scrollTop > this.#at
    this.#isFollowing = below <= AT_END_PX || (below <= NEAR_PX && !wentUp && (cameDown || this.#isFollowing))
    this.#at = scrollTop
    if (this.#isFollowing && hasFocus(this.#toEnd)) this.#left()
    this.#toEnd.hidden = this.#isFollowing
  }
}

const topWithin = (box, element) =>
  box.scrollTop + element.getBoundingClientRect().top - box.getBoundingClientRect().top - MARGIN_PX
