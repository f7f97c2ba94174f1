"""What fits into a context window: whole passages, no holes, and every loss said."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from miva.engine.llm.budget import EXCERPT_TOKENS, MESSAGE_TOKENS, Budget, TooLong, safe_tokens
from miva.engine.llm.task import Excerpt, Message
from miva.engine.text import count_tokens

PASSAGE = "The lighthouse was built in 1827. It is 19.3 metres high."


def words(text: str) -> int:
    return len(text.split())


texts = st.text(alphabet="ab .\n灯é", max_size=120)
excerpt_lists = st.lists(texts, max_size=8).map(lambda found: [Excerpt("d", n, text) for n, text in enumerate(found)])
histories = st.lists(st.builds(Message, st.sampled_from(["user", "assistant"]), texts), max_size=8)


@given(st.integers(64, 900), excerpt_lists, histories, texts, st.integers(1, 500))
def test_nothing_is_over_the_bound_and_every_loss_is_said(
    context: int, excerpts: list[Excerpt], history: list[Message], question: str, reserve: int
) -> None:
    budget = Budget(context)
    try:
        fitted = budget.fit([question], excerpts, history, reserve)
    except TooLong:
        need = safe_tokens(question) + MESSAGE_TOKENS + min(reserve, context // 2)
        assert need > context or (excerpts and need + EXCERPT_TOKENS + 10 > context)
        return
    used = safe_tokens(question) + MESSAGE_TOKENS + fitted.answer_tokens
    used += sum(budget.size(excerpt) for excerpt in fitted.excerpts)
    used += sum(safe_tokens(message.content) + MESSAGE_TOKENS for message in fitted.history)
    assert used <= context
    assert fitted.answer_tokens == min(reserve, context // 2)
    assert list(fitted.history) == history[len(history) - len(fitted.history) :], "the newest, without a hole"
    whole = [excerpt for excerpt in fitted.excerpts if excerpt in excerpts]
    positions = [excerpts.index(excerpt) for excerpt in whole]
    assert positions == sorted(positions), "best first"
    if len(whole) < len(fitted.excerpts):
        assert len(fitted.excerpts) == 1
        assert excerpts[0].text.startswith(fitted.excerpts[0].text)
        assert f"Only the first {len(fitted.excerpts[0].text)} of {len(excerpts[0].text)} characters" in fitted.left_out
    passages, messages = len(excerpts) - len(fitted.excerpts), len(history) - len(fitted.history)
    assert (f"{passages} of {len(excerpts)} passages" in fitted.left_out) == bool(passages)
    said = re.search(r"(\d+) earlier message", fitted.left_out)
    assert (int(said[1]) if said else 0) == messages
    if not excerpts or (whole and not messages and not passages):
        assert "Only" not in fitted.left_out


def test_a_passage_that_fits_only_without_history_is_in_whole() -> None:
    excerpt = Excerpt("d", 1, "one two three")
    fitted = Budget(MESSAGE_TOKENS + 1 + 1 + EXCERPT_TOKENS + 5, words).fit(
        ["why?"], [excerpt], [Message("user", "b")], 1
    )
    assert (fitted.excerpts, fitted.history) == ((excerpt,), ())
    assert fitted.left_out == "1 earlier message did not fit."


def test_it_says_what_was_left_out_in_a_sentence() -> None:
    budget = Budget(10 + 100 + 3 * (EXCERPT_TOKENS + 4) + 2 * MESSAGE_TOKENS, words)
    excerpts = [Excerpt("d", n, "one two three") for n in range(1, 6)]
    history = [Message("user", "far back " * 9), Message("assistant", "b " * 99), Message("user", "c " * 99)]
    fitted = budget.fit(["why so?"], excerpts, history, 100)
    assert [excerpt.page for excerpt in fitted.excerpts] == [1, 2, 3]
    assert fitted.left_out == "2 of 5 passages and 3 earlier messages did not fit."


def test_everything_that_fits_is_in_and_nothing_is_said() -> None:
    excerpts, history = [Excerpt("d", 1, PASSAGE)], [Message("user", "Hello."), Message("assistant", "Hello!")]
    fitted = Budget(1000).fit(["system", "question"], excerpts, history, 200)
    assert (list(fitted.excerpts), list(fitted.history), fitted.left_out) == (excerpts, history, "")


def test_history_takes_the_room_that_passages_leave_but_not_theirs() -> None:
    history = [Message("user", "word " * 120), Message("assistant", "word " * 120)]
    small = Budget(500, words).fit([], [Excerpt("d", 1, "word " * 50)], history, 100)
    assert (len(small.excerpts), len(small.history)) == (1, 2)
    full = Budget(500, words).fit([], [Excerpt("d", 1, "word " * 150), Excerpt("d", 2, "word " * 100)], history, 100)
    assert (len(full.excerpts), len(full.history)) == (2, 0)


def test_a_single_passage_that_is_too_long_is_cut_behind_a_sentence() -> None:
    text = "One two three. " * 400
    fitted = Budget(300, words).fit(["q"], [Excerpt("d.pdf", 7, text), Excerpt("d.pdf", 8, text)], [], 100)
    (excerpt,) = fitted.excerpts
    assert excerpt.text.endswith("three. ")
    assert fitted.left_out == (
        "1 of 2 passages did not fit. "
        f"Only the first {len(excerpt.text)} of 6000 characters of the passage on page 7 did fit."
    )


@pytest.mark.parametrize("text", ["word " * 4000, "灯" * 9000, "a" * 9000])
def test_one_without_sentences_or_words_is_cut_all_the_same(text: str) -> None:
    fitted = Budget(600).fit(["q"], [Excerpt("d", None, text)], [], 100)
    assert 100 < len(fitted.excerpts[0].text) < len(text)
    assert "characters of the passage on d did fit" in fitted.left_out


def test_a_page_of_two_megabytes_is_cut_in_time() -> None:
    fitted = Budget(4096).fit(["q"], [Excerpt("d", 1, "Yes. " * 400_000)], [], 400)
    assert fitted.excerpts[0].text.startswith("Yes. ")


@pytest.mark.parametrize("excerpts", [[], [Excerpt("d", 1, PASSAGE)]])
def test_a_question_that_is_too_long_is_told(excerpts: list[Excerpt]) -> None:
    with pytest.raises(TooLong):
        Budget(500).fit(["word " * 800], excerpts, [], 100)


@example(":\x7f")
@given(st.text())
def test_the_estimate_is_not_below_the_engines_own_count(text: str) -> None:
    assert safe_tokens(text) >= count_tokens(text) * 0.99
    assert bool(safe_tokens(text)) == bool(text)


@given(st.text(), st.text())
def test_joined_texts_are_no_longer_than_their_parts(one: str, two: str) -> None:
    assert safe_tokens(f"{one}. {two}") <= safe_tokens(f"{one}. ") + safe_tokens(two)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("灯塔建于一八二七年，由建筑师设计，高十九点三米，每年有一百二十万游客前来参观。" * 6, 438),
        ("1827 19.3 2,500 1.234.567,89 45% 2020-03-05 " * 12, 528),
        ("Маяк был построен в 1827 году архитектором Шинкелем и стоит на мысе Аркона. " * 8, 457),
        (
            "Der Leuchtturm wurde im Jahre 1827 von Karl Friedrich Schinkel erbaut, Sehenswürdigkeit an der See. " * 8,
            305,
        ),
        ("بنيت المنارة في عام 1827 وهي عالية جدا وتقع على الساحل الشمالي. " * 8, 417),
        ("def f(x):\n    return {k: v**2 for k, v in x.items() if k != '__all__'}\n" * 10, 300),
    ],
)
def test_the_estimate_is_near_what_a_small_tokenizer_makes_of_it(text: str, tokens: int) -> None:
    """The counts are those of SmolLM2's tokenizer, as its own server reported them."""
    assert 0.95 < safe_tokens(text) / tokens < 1.5


def test_chinese_counts_a_sign_as_more_than_a_letter() -> None:
    assert safe_tokens("灯塔高十九米") >= 6
    assert safe_tokens("lighthouse") < 6
