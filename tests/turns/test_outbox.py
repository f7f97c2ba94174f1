"""What a running turn gathers between commits: joined, in order, nothing lost."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from miva.outbox import LONGEST_DELTA, fitted
from miva.protocol.events import Delta, Event, Progress, Reply, Thinking

PIECES = st.one_of(
    st.text(max_size=20).map(Delta),
    st.integers(1, 3).map(lambda times: Delta("x" * (LONGEST_DELTA * times - 1))),
    st.just(Thinking()),
    st.integers(0, 9).map(lambda done: Progress("engine", done, 9)),
    st.text(max_size=5).map(lambda text: Reply(text, text)),
)


def told(events: list[Event]) -> list[object]:
    """What a reader has in the end: texts that follow on each other as one, everything else as it is."""
    found: list[object] = []
    for event in events:
        if not isinstance(event, Delta):
            found.append(event)
        elif found and isinstance(found[-1], str):
            found[-1] += event.text
        elif event.text:
            found.append(event.text)
    return found


@given(st.lists(PIECES, max_size=30))
def test_joining_changes_nothing_that_a_reader_has_in_the_end(events: list[Event]) -> None:
    made = fitted(events, may_join=True)
    assert told(made) == told(events)
    assert all(0 < len(event.text) <= LONGEST_DELTA for event in made if isinstance(event, Delta))
    full = [event for event in made if isinstance(event, Delta) and len(event.text) == LONGEST_DELTA]
    assert all(one in full for one, two in pairwise(made) if isinstance(one, Delta) and isinstance(two, Delta))


@given(st.lists(PIECES, max_size=30))
def test_pieces_that_may_not_be_joined_are_only_cut(events: list[Event]) -> None:
    made = fitted(events, may_join=False)
    assert told(made) == told(events)
    assert all(0 < len(event.text) <= LONGEST_DELTA for event in made if isinstance(event, Delta))
    short = [event for event in events if not isinstance(event, Delta) or 0 < len(event.text) <= LONGEST_DELTA]
    kept = iter(made)
    assert all(any(one == other for other in kept) for one in short), "in their order, as they came"
