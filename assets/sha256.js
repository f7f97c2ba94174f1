// SHA-256 (FIPS 180-4) of bytes that come one after another: the browser's own wants all of them in memory at once.

const BLOCK = 64

const ROUNDS = Int32Array.from(primes(64), (prime) => fraction(Math.cbrt(prime)))
const BEGINNING = Int32Array.from(primes(8), (prime) => fraction(Math.sqrt(prime)))

export class Sha256 {
  #state = BEGINNING.slice()
  #words = new Int32Array(64)
  #rest = new Uint8Array(BLOCK) // what does not fill a block yet
  #size = 0

  /** Takes the next bytes, a Uint8Array. */
  update(bytes) {
    let at = 0
    const held = this.#size % BLOCK
    this.#size += bytes.length
    if (held > 0) {
      at = Math.min(BLOCK - held, bytes.length)
      this.#rest.set(bytes.subarray(0, at), held)
      if (held + at < BLOCK) return
      this.#mix(this.#rest, 0)
    }
    for (; at + BLOCK <= bytes.length; at += BLOCK) this.#mix(bytes, at)
    this.#rest.set(bytes.subarray(at))
  }

  /** The hash of all bytes as 64 hex digits; nothing more can be taken then. */
  end() {
    const size = this.#size
    const held = size % BLOCK
    const padding = new Uint8Array((held < 56 ? 64 : 128) - held)
    padding[0] = 0x80
    new DataView(padding.buffer).setBigUint64(padding.length - 8, BigInt(size) * 8n)
    this.update(padding)
    return Array.from(this.#state, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("")
  }

  #mix(bytes, start) {
    const words = this.#words
    const rounds = ROUNDS
    const state = this.#state
    for (let i = 0, at = start; i < 16; i++, at += 4) {
      words[i] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]
    }
    for (let i = 16; i < 64; i++) {
      const x = words[i - 15]
      const y = words[i - 2]
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3)
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10)
      words[i] = (words[i - 16] + s0 + words[i - 7] + s1) | 0
    }
    let a = state[0]
    let b = state[1]
    let c = state[2]
    let d = state[3]
    let e = state[4]
    let f = state[5]
    let g = state[6]
    let h = state[7]
    for (let i = 0; i < 64; i++) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7))
      const one = (h + s1 + ((e & f) ^ (~e & g)) + rounds[i] + words[i]) | 0
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))
      const two = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0
      h = g
      g = f
      f = e
      e = (d + one) | 0
      d = c
      c = b
      b = a
      a = (one + two) | 0
    }
    state[0] += a
    state[1] += b
    state[2] += c
    state[3] += d
    state[4] += e
    state[5] += f
    state[6] += g
    state[7] += h
  }
}

function primes(count) {
  const found = []
  for (let number = 2; found.length < count; number++) {
    if (found.every((prime) => number % prime !== 0)) found.push(number)
  }
  return found
}

/** The first 32 bits behind the point. */
function fraction(number) {
  return ((number % 1) * 2 ** 32) | 0
}
