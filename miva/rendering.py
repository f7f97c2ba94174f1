"""Answers as HTML: Markdown rendered, then cleaned of everything a model or a document might smuggle in."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from typing import Any

import nh3
from markdown_it import MarkdownIt

_markdown = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table")
LONGEST_RENDERED = 200_000
"""Characters of an answer that are rendered as Markdown."""
_MARK = re.compile(r"[!-/:-@\[-`{-~]")
"""Punctuation that Markdown takes as it stands behind a backslash (CommonMark 0.31, 2.4)."""
_MEANING = re.compile(r"[\\`*_\[\]<>&!|~#]")
"""That of it which may mean something within a line."""
_TAGS = {
    "a", "blockquote", "br", "code", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s",
    "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip


def to_html(text: str, sources: Iterable[Mapping[str, Any]] = ()) -> str:
    """Sanitised HTML of an answer's Markdown: no images, no scripts, links only to http, https and mailto.

    The names and quotes of its sources are others' words: shown as they stand, without Markdown. What is longer than
    any answer for a reader is shown so as a whole: rendering would take seconds.
    """
    if len(text) > LONGEST_RENDERED:
        return f"<pre>{html.escape(text)}</pre>"
    return nh3.clean(
        _markdown.render(_with_words_as_they_stand(text, sources)).strip(),
        tags=_TAGS,
        attributes={"a": {"href"}, "ol": {"start"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )


def _with_words_as_they_stand(text: str, sources: Iterable[Mapping[str, Any]]) -> str:
    said = {str(source.get(member) or "") for source in sources for member in ("quote", "name")}
    words = sorted(
        (one for one in said if len(one) > 2 and one in text and _MEANING.search(one)), key=len, reverse=True
    )
    if not words:
        return text
    return re.sub("|".join(map(re.escape, words)), lambda found: _MARK.sub(r"\\\g<0>", found[0]), text)
