"""How long the server serves nobody else while a large PDF arrives and is read, seen from outside."""

from __future__ import annotations

import base64
import json
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from benchmarks import engine, relays
from benchmarks.bare import bare
from benchmarks.bench import Bench
from benchmarks.clients import on_core
from benchmarks.figures import Figure, Goal
from benchmarks.processes import move
from benchmarks.wire import TEXT, Wire, client_frame, port_of
from tests.pdfs import assemble, stream

PAGES = 100
LINES, WORDS_A_LINE = 40, 12
SIDE = 258
"""Pixels of the picture on each page, square, three bytes each: 100 of them make 20 MB."""
QUESTION = "reply to a large file"
EVERY_S = 0.001
WARM_PINGS = 100
NAIVE_ROUNDS = 2

_WORDS = "a relay carries each question about some document to the engine that reads it and brings every answer back"


def longest_stall(bench: Bench) -> list[Figure]:
    """How long a ping of another socket waited at most while 20 MB came and were answered, product − bare server.

    Both are of the calmest round: each round sends a file that nobody has seen to every server in turn.
    """
    rounds = 8 if bench.quick else 20
    seen: defaultdict[str, list[_Upload]] = defaultdict(list)
    with (
        relays.scripted_engine(bench) as engine_url,
        relays.product(bench, engine_url) as product,
        bare(bench) as baseline,
        bare(bench, "benchmarks.naive.asgi:application", NAIVE_ENGINE_URL=engine_url) as naive,
        on_core(bench.load_core),
    ):
        assert product.server is not None
        size = len(make_pdf(0))
        for number in range(rounds):
            for core, name in ((bench.server_core, "product"), (bench.load_core, "elsewhere")):
                for pid in product.server.pids[1:]:  # the processes that read documents
                    move(pid, core)
                pdf = make_pdf(2 * number + (name == "elsewhere"))
                seen[name].append(_upload(port_of(product.url), pdf, _is_engines))
                if name == "product":
                    seen["bare"].append(_upload(port_of(baseline.url), pdf, _is_echo))
            if number < NAIVE_ROUNDS:
                seen["naive"].append(_upload(port_of(naive.url), pdf, _is_engines))
    ours, theirs = _Stalls(seen["product"]), _Stalls(seen["bare"])
    detail = (
        f"{size / 1e6:.1f} MB, {PAGES} pages, {rounds} rounds: product {ours}, answered in {ours.answered:.0f} ms; "
        f"bare uvicorn {theirs}; with the readers on the other core {_Stalls(seen['elsewhere'])}; "
        f"the naive relay under the same uvicorn {_Stalls(seen['naive'])}"
    )
    what = "longest stall while a 20 MB PDF arrives and is read, beyond a bare server"
    return [Figure(what, ours.least - theirs.least, "ms", Goal(30, 15), detail)]


def make_pdf(seed: int) -> bytes:
    """A PDF of 20 MB: pages of text, each with a picture that cannot be compressed. Another for each seed."""
    chance = random.Random(seed)
    first = 4
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count %d/Kids[%s]>>"
        % (PAGES, b" ".join(b"%d 0 R" % (first + 3 * page) for page in range(PAGES))),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    picture = b"/Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceRGB/BitsPerComponent 8" % (SIDE, SIDE)
    for page in range(PAGES):
        content = first + 3 * page + 1
        lines = (" ".join(chance.choices(_WORDS.split(), k=WORDS_A_LINE)).encode() for _ in range(LINES))
        shown = b"\n".join(b"(%s) Tj T*" % line for line in lines)
        objects += [
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]"
            b"/Resources<</Font<</F1 3 0 R>>/XObject<</I1 %d 0 R>>>>/Contents %d 0 R>>" % (content + 1, content),
            stream(b"q 120 0 0 120 440 20 cm /I1 Do Q\nBT 14 TL /F1 11 Tf 50 740 Td\n%s\nET" % shown),
            stream(chance.randbytes(3 * SIDE * SIDE), picture),
        ]
    return assemble(objects)


@dataclass(slots=True)
class _Upload:
    """One file on its way. Times in seconds; `waits` are the round trips of the pings meanwhile."""

    answered_s: float = 0.0
    answer: bytes = b""
    failure: Exception | None = None
    waits: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Stalls:
    """The longest wait of each upload, in ms."""

    uploads: list[_Upload]

    @property
    def longest(self) -> list[float]:
        return [1000 * max(upload.waits) for upload in self.uploads]

    @property
    def least(self) -> float:
        return min(self.longest)

    @property
    def answered(self) -> float:
        """Until the answer, in ms, of the median upload."""
        return 1000 * median(upload.answered_s for upload in self.uploads)

    def __str__(self) -> str:
        longest = self.longest
        return f"{min(longest):.1f} ms (median {median(longest):.1f}, the first {longest[0]:.0f})"


def _upload(port: int, pdf: bytes, is_answer: Callable[[bytes], bool]) -> _Upload:
    """Sends the file in one frame while another socket pings; raises RuntimeError where the answer is not the one."""
    file = {"name": "large.pdf", "type": "application/pdf", "content": base64.b64encode(pdf).decode()}
    question = {"message": QUESTION, "type": "chat", "unique_id": None, "file": file}
    frame = client_frame(TEXT, json.dumps(question).encode())
    sender, pinger = Wire(port), Wire(port)
    upload = _Upload()

    def send() -> None:
        try:
            began = time.monotonic()
            sender.socket.sendall(frame)  # holds no lock of the interpreter while it waits
            upload.answer = sender.next_text()
            upload.answered_s = time.monotonic() - began
        except Exception as why:
            upload.failure = why

    try:
        for _ in range(WARM_PINGS):
            pinger.ping()
        sending = threading.Thread(target=send)
        sending.start()
        while sending.is_alive():
            began = time.monotonic()
            pinger.ping()
            upload.waits.append(time.monotonic() - began)
            time.sleep(EVERY_S)
    finally:
        sender.close()
        pinger.close()
    if upload.failure is not None or not is_answer(upload.answer):
        raise RuntimeError(f"Not the answer to a large file: {upload.answer[:300]!r}") from upload.failure
    return upload


def _is_engines(answer: bytes) -> bool:
    return answer == engine.reply(QUESTION)


def _is_echo(answer: bytes) -> bool:
    return QUESTION.encode() in answer
