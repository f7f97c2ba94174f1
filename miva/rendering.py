"""Answers as HTML: Markdown rendered, then cleaned of everything a model or a document might smuggle in."""

from __future__ import annotations

import html

import nh3
from markdown_it import MarkdownIt

_markdown = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table")
LONGEST_RENDERED = 200_000
"""Characters of an answer that are rendered as Markdown."""
_TAGS = {
    "a", "blockquote", "br", "code", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s",
    "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip


def to_html(text: str) -> str:
    """Sanitised HTML of an answer's Markdown: no images, no scripts, links only to http, https and mailto.

    What is longer than any answer for a reader is shown as it is, without Markdown: rendering would take seconds.
    """
    if len(text) > LONGEST_RENDERED:
        return f"<pre>{html.escape(text)}</pre>"
    return nh3.clean(
        _markdown.render(text).strip(),
        tags=_TAGS,
        attributes={"a": {"href"}, "ol": {"start"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
