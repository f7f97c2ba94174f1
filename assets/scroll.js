// Follows the end of the transcript, but only while the reader is there.

const NEAR_PX = 48

export class Follower {
  #box
  #toEnd
  #isFollowing = true

  /** `box` scrolls; `toEnd` is the button that is shown while the reader is elsewhere. */
  constructor(box, toEnd) {
    this.#box = box
    this.#toEnd = toEnd
    box.addEventListener("scroll", () => this.#look(), { passive: true })
    toEnd.addEventListener("click", () => this.goToEnd())
    new ResizeObserver(() => this.settle()).observe(box)
  }

  /** Called after the transcript has changed. */
  settle() {
    if (this.#isFollowing) this.#box.scrollTop = this.#box.scrollHeight
    this.#look()
  }

  goToEnd() {
    this.#isFollowing = true
    this.settle()
  }

  #look() {
    const { scrollHeight, scrollTop, clientHeight } = this.#box
    this.#isFollowing = scrollHeight - scrollTop - clientHeight <= NEAR_PX
    this.#toEnd.hidden = this.#isFollowing
  }
}
