"""Questions about a document as a whole: title, pages, outline and what is central in each part, each with its page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from miva.engine import central, front
from miva.engine import parts as parts_of
from miva.engine.asked import Asked
from miva.engine.parts import Part
from miva.engine.stores.base import Index, Passage
from miva.engine.text import STOP_WORDS, fold, one_line, plain_words

T = TypeVar("T")

MAX_DOCUMENTS = 8
_OPENINGS = 5

# Words that ask about the whole. A question made of these and of words without a topic is an overview question.
_CUE_WORDS = """
inside about summary summarise summarize summarised summarized summarizing overview outline gist contents content
contain contains contained containing say says said discuss discusses cover covers deal deals topic topics subject
theme themes main key important point points idea ideas takeaway takeaways message section sections chapter chapters
heading headings structure title titled tldr dr tl abstract pdf pdfs document documents doc file files text paper
report article book page pages attachment attached upload uploaded written read purpose
"""
_FILLER_WORDS = """
quick quickly short shortly brief briefly please kindly main whole entire complete full general generally overall
list everything all long many big is in of for me us can could you give get make provide write tell show describe
explain what's whats talk talks talking know need want like just sentence sentences paragraph word words bullet
bullets few two three five hello hi hey thanks happens happen stands stand number first last seite seiten steht erste
ersten letzte letzten
"""
_PARTICULAR = re.compile(r"\W*(?:when|who|where|how(?! many| long|.{0,20} summar))\b")
"""What begins so asks for one thing, though it has no other word with a topic: "How do I upload a file?"."""
_CUES = frozenset(_CUE_WORDS.split())
_FILLER = frozenset(_FILLER_WORDS.split())
_PHRASES = re.compile(
    r"worum geht(?:'s| es)|was (?:steht|ist) in|wovon handelt|zusammenfass|fasse? .{0,40}zusammen|inhalt d|"
    r"de quoi (?:parle|s'agit|traite)|resume[rz]?\b|quel est le (?:sujet|contenu)|que contient|"
    r"de que (?:trata|habla|se trata)|resum(?:e|en|ir|o|a)\b|que (?:contiene|contem|dice|diz) |"
    r"di cosa (?:parla|tratta)|riassu|cosa (?:contiene|dice)|waar gaat .{0,30} over|samenvat|"
    r"о ч[её]м|кратко|резюме|содержани|что (?:в|содержит)|podsumuj|streszcz|o czym|ne hakk|ozetle|"
    r"总结|總結|概括|概述|摘要|主要内容|主要內容|讲了什么|講了什麼|关于什么|關於什麼|[里裡](?:面)?有(?:什么|什麼)|有(?:什么|什麼)[内內]容|是什么内容|是什麼內容|"
    r"要約|概要|何が書|何について|まとめ|요약|무슨 내용|"
    r"ملخص|لخص|عن ماذا|ما موضوع|סכם|סיכום|על מה|सारांश|किस बारे"
)
_PHRASE_WORDS = 9  # longer ones ask about something in particular


def is_overview(question: str) -> bool:
    """Whether a question is about the document as a whole ("what is inside this pdf?", "summarise")."""
    folded = fold(question).lower()
    words = re.findall(r"[\w']+", folded)
    if is_about_all(folded):
        return _PARTICULAR.match(folded) is None and any(word in _CUES for word in words)
    return len(words) <= _PHRASE_WORDS and _PHRASES.search(folded) is not None


def is_about_all(folded: str) -> bool:
    """Whether a question, folded and in small letters, has no word with a topic of its own."""
    words = re.findall(r"[\w']+", folded)
    return bool(words) and all(w in _CUES or w in _FILLER or w in STOP_WORDS or w.isdigit() for w in words)


def describe(documents: list[Asked]) -> tuple[str, list[tuple[int, Passage]]]:
    """An overview of each document, and the quoted passages with the number of their document, counted from 0."""
    parts: list[str] = []
    quoted: list[tuple[int, Passage]] = []
    for number, document in enumerate(documents[:MAX_DOCUMENTS]):
        text, passages = _describe(document)
        parts.append(text)
        quoted.extend((number, passage) for passage in passages)
    if len(documents) > MAX_DOCUMENTS:
        others = ", ".join(document.name for document in documents[MAX_DOCUMENTS:][:20])
        parts.append(
            f"There are {len(documents) - MAX_DOCUMENTS} more documents: {others}. Ask about one of them by itself."
        )
    return "\n\n".join(parts), quoted


def _describe(document: Asked) -> tuple[str, list[Passage]]:
    index = document.index
    numbers = index.page_numbers()
    if not numbers:
        return f"{document.name} has no text that I can read.", []
    title = front.title(index, numbers[0])
    headings = parts_of.headings(index)
    bookmarked = parts_of.bookmarked(index.outline(), headings, title)
    parts = bookmarked or parts_of.headed(headings, title)
    openings = list(_openings(index, numbers, parts, title))
    lines = [f"{document.name}{length(document)}."]
    if title is not None:
        lines[0] += f" Its title reads: {quotation(title, document)}."
    if parts:
        shown = parts_of.upper(parts)
        lines += ["", "Its outline:" if bookmarked else "Its headings:"]
        lines += [f"{'  ' * part.level}- {part.title}{_on_page(part.page, document)}" for part in shown]
        if len(parts) > len(shown):
            lines.append(f"- and {len(parts) - len(shown)} more")
    if openings:
        lines += ["", "It begins: " + quotation(openings[0], document)]
        if len(openings) > 1:
            lines += ["", "Further on it says:"]
            lines += [f"- {quotation(passage, document)}" for passage in openings[1:]]
    return "\n".join(lines), [*([title] if title else []), *openings]


def quotation(passage: Passage, document: Asked) -> str:
    """The passage in quotation marks, with its page where the document has pages."""
    return f"“{one_line(passage.text)}”{_on_page(passage.page, document)}"


def _on_page(page: int, document: Asked) -> str:
    """` (page 3)`, or nothing for a document without pages."""
    return f" (page {page})" if document.paged else ""


def length(document: Asked) -> str:
    """` has 12 pages`, or what is said of a text."""
    if not document.paged:
        return " is a text without pages"
    count = document.read[1] if document.read else document.index.page_count()
    return f" has {count} page{'' if count == 1 else 's'}"


def _openings(index: Index, numbers: list[int], parts: list[Part], title: Passage | None) -> Iterator[Passage]:
    """The document's first sentence, then the most central one of each part, or, where it has few parts, of pages
    spread over it; nothing is said twice."""
    first = index.page_passages(numbers[0], parts_of.SENTENCES_READ)
    behind = [passage for passage in first if title is None or passage.number != title.number]
    start = central.first_sentence(behind) or central.first_sentence(first)  # a title may be the head of a sentence
    if start is None and title is None:
        start = index.page_passages(numbers[0], 1)[0]
    said: set[str] = set()
    if start is not None:
        said.add(plain_words(start.text))
        yield start
    if len(parts) >= 3:
        places = [(part.page, part.after) for part in _spread(parts_of.upper(parts), _OPENINGS)]
    else:
        places = [(page, -1) for page in _spread(numbers[1:], _OPENINGS)]
    texts = [parts_of.sentences(index, page, after) for page, after in places]
    # Where there is no whole sentence, any words are better than none.
    yield from list(_central(texts, said, central.is_whole)) or _central(texts, said, central.has_letters)


def _central(parts: list[list[Passage]], said: set[str], is_good: Callable[[Passage], bool]) -> Iterator[Passage]:
    """The most central good sentence of each part that does not say what is `said` already, to which it is added."""
    for part in parts:
        sentence = central.most_central(part, lambda one: is_good(one) and plain_words(one.text) not in said)
        if sentence is not None:
            said.add(plain_words(sentence.text))
            yield sentence


def _spread(items: list[T], count: int) -> list[T]:
    if len(items) <= count:
        return items
    return [items[i * len(items) // count] for i in range(count)]
