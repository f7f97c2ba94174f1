"""Questions about a document as a whole: title, pages, outline and what is central in each part, each with its page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import TypeVar

from miva.engine.search import Asked
from miva.engine.stores.base import Index, Passage
from miva.engine.text import STOP_WORDS, fold, one_line, query_terms

T = TypeVar("T")

MAX_DOCUMENTS = 8
_OUTLINE = 15
_OPENINGS = 5
_HEADINGS_READ = 400
_PASSAGES_READ = 40
_PART_READ = 400

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
bullets few two three five hello hi hey thanks
"""
_CUES = frozenset(_CUE_WORDS.split())
_FILLER = frozenset(_FILLER_WORDS.split())
_PHRASES = re.compile(
    r"worum geht(?:'s| es)|was (?:steht|ist) in|wovon handelt|zusammenfass|fasse? .{0,40}zusammen|inhalt d|"
    r"de quoi (?:parle|s'agit|traite)|resume[rz]?\b|quel est le (?:sujet|contenu)|que contient|"
    r"de que (?:trata|habla|se trata)|resum(?:e|en|ir|o|a)\b|que (?:contiene|contem|dice|diz) |"
    r"di cosa (?:parla|tratta)|riassu|cosa (?:contiene|dice)|waar gaat .{0,30} over|samenvat|"
    r"о ч[её]м|кратко|резюме|содержани|что (?:в|содержит)|podsumuj|streszcz|o czym|ne hakk|ozetle|"
    r"总结|總結|概括|概述|摘要|主要内容|主要內容|讲了什么|講了什麼|关于什么|關於什麼|里面有什么|是什么内容|"
    r"要約|概要|何が書|何について|まとめ|요약|무슨 내용|"
    r"ملخص|لخص|عن ماذا|ما موضوع|סכם|סיכום|על מה|सारांश|किस बारे"
)
_PHRASE_WORDS = 9  # longer ones ask about something in particular


def is_overview(question: str) -> bool:
    """Whether a question is about the document as a whole ("what is inside this pdf?", "summarise")."""
    folded = fold(question).lower()
    words = re.findall(r"[\w']+", folded)
    if words and all(w in _CUES or w in _FILLER or w in STOP_WORDS or w.isdigit() for w in words):
        return any(word in _CUES for word in words)
    return len(words) <= _PHRASE_WORDS and _PHRASES.search(folded) is not None


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
    title = _title(index, numbers[0])
    outline = _outline(index, title)
    openings = list(_openings(index, numbers, outline, title))
    lines = [f"{document.name}{_length(document)}."]
    if title is not None:
        lines[0] += f" Its title reads: {quotation(title, document)}."
    if outline:
        lines += ["", "Its headings:"]
        lines += [f"- {one_line(heading.text)}{place(heading, document)}" for heading in outline[:_OUTLINE]]
        if len(outline) > _OUTLINE:
            lines.append(f"- and {len(outline) - _OUTLINE} more")
    if openings:
        lines += ["", "It begins: " + quotation(openings[0], document)]
        if len(openings) > 1:
            lines += ["", "Further on it says:"]
            lines += [f"- {quotation(passage, document)}" for passage in openings[1:]]
    return "\n".join(lines), [*([title] if title else []), *openings]


def quotation(passage: Passage, document: Asked) -> str:
    """The passage in quotation marks, with its page where the document has pages."""
    return f"“{one_line(passage.text)}”{place(passage, document)}"


def place(passage: Passage, document: Asked) -> str:
    """` (page 3)`, or nothing for a document without pages."""
    return f" (page {passage.page})" if document.paged else ""


def _length(document: Asked) -> str:
    if not document.paged:
        return " is a text without pages"
    count = document.read[1] if document.read else document.index.page_count()
    return f" has {count} page{'' if count == 1 else 's'}"


def _title(index: Index, page: int) -> Passage | None:
    first = next(iter(index.page_passages(page, 1)))
    return first if first.heading else None


def _outline(index: Index, title: Passage | None) -> list[Passage]:
    """The headings without the title, without what stands on the head of many pages, and each once."""
    headings = index.headings(_HEADINGS_READ)
    pages = Counter(name for name, _ in {(_plain(heading), heading.page) for heading in headings})
    seen = {_plain(title)} if title else set()
    found = []
    for heading in headings:
        name = _plain(heading)
        if name not in seen and pages[name] < 3:
            seen.add(name)
            found.append(heading)
    return found


def _plain(passage: Passage) -> str:
    return re.sub(r"[\W\d]+", " ", passage.text.lower()).strip()


def _openings(index: Index, numbers: list[int], outline: list[Passage], title: Passage | None) -> Iterator[Passage]:
    """The document's first sentence, then the most central one of each part: under its headings, or, where it has few,
    of pages spread over it."""
    start = _first_sentence(index.page_passages(numbers[0], _PASSAGES_READ))
    if start is None and title is None:
        start = index.page_passages(numbers[0], 1)[0]
    given = set()
    if start is not None:
        given.add(start.number)
        yield start
    if len(outline) >= 3:
        places = [(h.page, h.number) for h in _spread(outline[:_OUTLINE], _OPENINGS)]
    else:
        places = [(page, -1) for page in _spread(numbers[1:], _OPENINGS)]
    for page, after in places:
        sentence = _most_central(_part(index.page_passages(page, _PART_READ), after))
        if sentence is not None and sentence.number not in given:
            given.add(sentence.number)
            yield sentence


def _first_sentence(passages: list[Passage]) -> Passage | None:
    """The first whole sentence; one that goes on from the page before is passed over."""
    following = [passage for passage in passages if not passage.heading]
    return next(iter([passage for passage in following if _is_whole(passage)] or following), None)


def _part(passages: list[Passage], after: int) -> list[Passage]:
    """The sentences behind passage number `after`, up to the next heading."""
    part: list[Passage] = []
    for passage in passages:
        if passage.number > after:
            if passage.heading and part:
                break
            if not passage.heading:
                part.append(passage)
    return part[:_PASSAGES_READ]


def _most_central(part: list[Passage]) -> Passage | None:
    """The sentence whose words the others of its part have most often; of two alike the earlier one.

    Average word probability, as in SumBasic (Nenkova and Vanderwende 2005), with a small advantage for the beginning.
    """
    words = [query_terms(passage.text) for passage in part]
    frequency = Counter(word for sentence in words for word in set(sentence))
    best, best_score = None, -1.0
    for place, (passage, sentence) in enumerate(zip(part, words, strict=True)):
        if sentence:
            shared = sum(frequency[word] for word in sentence) / len(sentence) / len(part)
            score = shared + 0.1 / (1 + place) + (0.2 if _is_whole(passage) else 0.0)
            if score > best_score:
                best, best_score = passage, score
    return best


def _is_whole(passage: Passage) -> bool:
    """Whether it looks like a sentence from its first word on, and says more than a few words."""
    return len(passage.text.split()) >= 4 and not passage.text[0].islower()


def _spread(items: list[T], count: int) -> list[T]:
    if len(items) <= count:
        return items
    return [items[i * len(items) // count] for i in range(count)]
