"""A question finds the same chunks with the same weights, whichever library holds its documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miva.engine import chunk_ranking
from miva.engine.asked import Asked
from miva.engine.stores.base import Index, Postings
from miva.engine.stores.common_words import COMMON
from miva.engine.stores.matrix_vectors import VectorsInMemory
from miva.engine.stores.postgres_library import PostgresLibrary
from miva.engine.stores.sqlite_index import SqliteIndex
from miva.engine.stores.sqlite_library import SqliteLibrary
from miva.engine.text import query_terms
from tests.engine.stores.material import PAGES, draft, new_id, plain, vectors

ROOT = Path(__file__).resolve().parents[3]

QUESTIONS = [
    "Who ran the runners' running costs?",
    "Is cooperation required of the tenant? foo_bar",
    "naive café, Überlingen und die Straße",
    "首都",
    "都",
    "京",
    "한",
    "ภาษาไทย",
    "שלום السلام हिन्दी",
    "ﷺ fine flow Full Ⅻ ½",
    "x" * 1536,
    "é" * 1536,
    "word WORDS wording",
    "a@b.example e-mail",
]


@pytest.fixture(scope="module")
def postgres(database: str) -> Iterator[PostgresLibrary]:
    library = PostgresLibrary(database)
    yield library
    library.close()


def both(
    postgres: PostgresLibrary, folder: Path, documents: Sequence[Sequence[str]]
) -> tuple[list[Index], list[Index]]:
    """The same documents in PostgreSQL and in files."""
    files = SqliteLibrary(folder / "documents")
    pairs = []
    for pages in documents:
        document, made = new_id(), draft(pages)
        postgres.save(document, made)
        files.save(document, made)
        pairs.append((postgres.open(document), files.open(document)))
    return [a for a, _ in pairs if a], [b for _, b in pairs if b]


def assert_same(ours: Postings, theirs: Postings) -> int:
    """The postings are equal to a millionth; returns how many there are."""
    assert ours.keys() == theirs.keys()
    found = plain(ours)
    for term, chunks in plain(theirs).items():
        assert found[term] == pytest.approx(chunks, rel=1e-6, abs=1e-9), term
    return sum(len(chunks) for chunks, _ in theirs.values())


def test_the_same_weights_on_text_of_many_scripts(postgres: PostgresLibrary, tmp_path: Path) -> None:
    (ours,), (theirs,) = both(postgres, tmp_path, [PAGES])
    for question in QUESTIONS:
        terms = query_terms(question)
        assert assert_same(ours.postings(terms), theirs.postings(terms)), f"{question[:40]} finds something"


def test_the_same_weights_on_real_text(postgres: PostgresLibrary, tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    pages = [readme[at : at + 2500] for at in range(0, len(readme), 2500)]
    (ours,), (theirs,) = both(postgres, tmp_path, [pages])
    terms = query_terms(readme)
    assert assert_same(ours.postings(terms), theirs.postings(terms)) > 200


def test_terms_that_hold_no_word_or_look_like_a_query(postgres: PostgresLibrary, tmp_path: Path) -> None:
    (ours,), (theirs,) = both(
        postgres, tmp_path, [[*PAGES, "it's a \\ back'slash, \"quoted\" & (word | !not) <-> a:* b"]]
    )
    terms = [
        "",
        " ",
        "'",
        "\\",
        '"',
        "''",
        "a & b",
        "it's",
        "back'slash",
        "(word | !not)",
        "a:*",
        "中*",
        "wor*",
        "–",
        "\\'",
    ]
    assert assert_same(ours.postings(terms), theirs.postings(terms))


def test_common_words_have_the_weights_that_their_rows_give(postgres: PostgresLibrary, tmp_path: Path) -> None:
    pages = [f"The tenant {'runs ' * (number % 5)} café {number}. {'更' * (number % 3)}" for number in range(COMMON)]
    pages += ["The rent. " + "high " * 200]  # longer than most, so that lengths differ in more than one byte
    (ours,), (theirs,) = both(postgres, tmp_path, [[*pages, *pages]])
    made = draft([*pages, *pages])
    terms = query_terms("running run CAFÉ tenants rent 7 更 foo_bar absent")
    assert {"tenant", "run", "cafe"} <= {word for word, _ in made.common_words()}
    assert assert_same(theirs.postings(terms), made.postings(terms)) > 3 * COMMON
    assert_same(ours.postings(terms), made.postings(terms))


def test_several_documents_in_one_go(postgres: PostgresLibrary, tmp_path: Path) -> None:
    ours, theirs = both(postgres, tmp_path, [PAGES, ["The tenant ran."], [""], ["北京 tenant tenant", "foo_bar"]])
    asked = [0, 2, 3, 1, 0]  # in any order, and one of them twice
    terms = query_terms("tenant foo_bar 京 runners absent")
    together = type(ours[0]).postings_of([ours[i] for i in asked], terms)
    alone = type(theirs[0]).postings_of([theirs[i] for i in asked], terms)
    assert [count for count, _ in together] == [count for count, _ in alone] == [ours[i].chunk_count() for i in asked]
    assert sum(assert_same(a, b) for (_, a), (_, b) in zip(together, alone, strict=True)) > 6
    assert type(ours[0]).postings_of([], terms) == []
    assert ours[0].postings([]) == {}


def test_documents_that_were_not_asked_change_nothing(postgres: PostgresLibrary, tmp_path: Path) -> None:
    (ours,), _ = both(postgres, tmp_path, [["Tenants pay the rent.", "The rent is high."]])
    before = plain(ours.postings(["rent"]))
    both(postgres, tmp_path, [["rent " * 50]])
    assert plain(ours.postings(["rent"])) == before != {"rent": {}}


# Words that repeat, so that terms are found more than once, between stretches of anything.
_OFTEN = (
    "run",
    "running",
    "ran",
    "co-",
    "-op",
    "naïve",
    "Ärger",
    "京都",
    "都",
    "の",
    "カフェ",
    "ﬁ",
    "foo_bar",
    "x1",
    "ᏣᎳᎩ",
    "ि①",
)
WORDS = st.sampled_from(_OFTEN)
TEXT = st.lists(st.one_of(WORDS, WORDS, st.text(max_size=12)), max_size=60).map(" ".join)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(TEXT, min_size=1, max_size=4), st.data())
def test_the_same_weights_on_random_text(
    postgres: PostgresLibrary, tmp_path: Path, pages: list[str], data: st.DataObject
) -> None:
    made = draft(pages)
    document = new_id()
    postgres.save(document, made)
    index = postgres.open(document)
    assert index is not None
    asked = data.draw(st.one_of(st.sampled_from(pages), TEXT))
    terms = query_terms(asked)
    assert_same(index.postings(terms), made.postings(terms))
    for chunk in range(made.chunk_count()):
        assert index.chunk_passages(chunk) == made.chunk_passages(chunk)
    postgres.forget(document)
    assert not any(plain(index.postings(terms)).values())


def test_a_document_that_is_asked_under_two_names_is_as_near_under_both() -> None:
    index, store, rows = SqliteIndex.in_memory(), VectorsInMemory(), vectors(2)
    index.add_pages([(1, "The zebra crossing is closed.")])
    store.add("document", 0, rows)
    asked = [Asked("document", name, index, store) for name in ("one.pdf", "other.pdf")]
    near = chunk_ranking._cosines(asked, [(0, 0), (1, 0), (1, 1), (1, 7)], rows[:1])
    assert near == pytest.approx({(0, 0): 1, (1, 0): 1, (1, 1): float(rows[0] @ rows[1])}, abs=0.01)
    index.close()
