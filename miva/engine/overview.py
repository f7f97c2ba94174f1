"""Questions about a document as a whole: title, pages, outline and what is central in each part, each with its page."""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from miva.engine.passages import ends_sentence, is_contents_line
from miva.engine.search import Asked
from miva.engine.stores.base import Bookmark, Index, Passage
from miva.engine.text import STOP_WORDS, count_tokens, fold, one_line, plain_words, query_terms

T = TypeVar("T")

MAX_DOCUMENTS = 8
_OUTLINE = 15
_OPENINGS = 5
_HEADINGS_READ = 400
_PASSAGES_READ = 40
PART_READ = 400

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
# A sentence that begins with one of these goes on from the one before it.
_LEANING_WORDS = """
this that these those it its they their them he his she her such both however therefore thus hence also but and or so
then moreover furthermore instead consequently similarly otherwise nevertheless additionally
"""
_LEANING = frozenset(_LEANING_WORDS.split())
_REMARK = re.compile(r"[(\[][^()\[\]]*[)\]]\W*")
"""Nothing but a remark in brackets: a reference to somewhere else."""
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


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a document: its title, where it begins, and how deep it lies; `after` is the number of the heading that
    its text stands behind, -1 where that is the top of the page."""

    title: str
    page: int
    level: int = 0
    after: int = -1


def _describe(document: Asked) -> tuple[str, list[Passage]]:
    index = document.index
    numbers = index.page_numbers()
    if not numbers:
        return f"{document.name} has no text that I can read.", []
    title = _title(index, numbers[0])
    headings = index.headings(_HEADINGS_READ)
    bookmarked = _bookmarked(index.outline(), headings, title)
    parts = bookmarked or _headed(headings, title)
    openings = list(_openings(index, numbers, parts, title))
    lines = [f"{document.name}{length(document)}."]
    if title is not None:
        lines[0] += f" Its title reads: {quotation(title, document)}."
    if parts:
        shown = _upper(parts)
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


def _title(index: Index, page: int) -> Passage | None:
    first = next(iter(index.page_passages(page, 1)))
    return first if first.heading else None


def _bookmarked(outline: list[Bookmark], headings: list[Passage], title: Passage | None) -> list[Part]:
    """What the bookmarks name, but for the title; none where that is one part or less."""
    places = {(_plain(heading.text), heading.page): heading.number for heading in headings}
    parts = [
        Part(one_line(mark.title), mark.page, mark.level, places.get((_plain(mark.title), mark.page), -1))
        for mark in outline
        if title is None or _plain(mark.title) != _plain(title.text)
    ]
    least = min((part.level for part in parts), default=0)
    return [replace(part, level=part.level - least) for part in parts] if len(parts) > 1 else []


def _headed(headings: list[Passage], title: Passage | None) -> list[Part]:
    """The headings without the title, without what stands on the head of many pages, and each once."""
    pages = Counter(name for name, _ in {(_plain(heading.text), heading.page) for heading in headings})
    seen = {_plain(title.text)} if title else set()
    found = []
    for heading in headings:
        name = _plain(heading.text)
        if name not in seen and pages[name] < 3:
            seen.add(name)
            found.append(Part(one_line(heading.text), heading.page, after=heading.number))
    return found


def _upper(parts: list[Part]) -> list[Part]:
    """The parts as deep down as there is room for; the first of them where even the uppermost are too many."""
    levels = sorted({part.level for part in parts}, reverse=True)
    for deepest in levels:
        upper = [part for part in parts if part.level <= deepest]
        if len(upper) <= _OUTLINE:
            return upper
    return [part for part in parts if part.level == 0][:_OUTLINE]


def _plain(text: str) -> str:
    return re.sub(r"[\W\d]+", " ", text.lower()).strip()


def _openings(index: Index, numbers: list[int], parts: list[Part], title: Passage | None) -> Iterator[Passage]:
    """The document's first sentence, then the most central one of each part, or, where it has few parts, of pages
    spread over it; nothing is said twice."""
    start = _first_sentence(index.page_passages(numbers[0], _PASSAGES_READ))
    if start is None and title is None:
        start = index.page_passages(numbers[0], 1)[0]
    said: set[str] = set()
    if start is not None:
        said.add(plain_words(start.text))
        yield start
    if len(parts) >= 3:
        places = [(part.page, part.after) for part in _spread(_upper(parts), _OPENINGS)]
    else:
        places = [(page, -1) for page in _spread(numbers[1:], _OPENINGS)]
    texts = [_part(index.page_passages(page, PART_READ), after) for page, after in places]
    # Where there is no whole sentence, any words are better than none.
    yield from list(_central(texts, said, _is_whole)) or _central(texts, said, _has_letters)


def _central(parts: list[list[Passage]], said: set[str], is_good: Callable[[Passage], bool]) -> Iterator[Passage]:
    """The most central good sentence of each part that does not say what is `said` already, to which it is added."""
    for part in parts:
        sentence = _most_central(part, lambda one: is_good(one) and plain_words(one.text) not in said)
        if sentence is not None:
            said.add(plain_words(sentence.text))
            yield sentence


def _first_sentence(passages: list[Passage]) -> Passage | None:
    """The first whole sentence, better one that leans on nothing; what goes on from the page before is passed over."""
    following = [passage for passage in passages if not passage.heading]
    whole = [passage for passage in following if _is_whole(passage)]
    return next(iter([passage for passage in whole if not _leans(passage)] or whole or following), None)


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


def _most_central(part: list[Passage], may_be: Callable[[Passage], bool]) -> Passage | None:
    """The sentence whose words the others of its part have most often; of two alike the earlier one."""
    return max(_scored(part, may_be), key=lambda scored: scored[0], default=(0.0, None))[1]


def _scored(part: list[Passage], may_be: Callable[[Passage], bool]) -> list[tuple[float, Passage]]:
    """How central each sentence is that may be chosen, in reading order.

    Average word probability, as in SumBasic (Nenkova and Vanderwende 2005), with a small advantage for the beginning,
    and for a sentence that does not lean on the one before it.
    """
    words = [query_terms(passage.text) for passage in part]
    frequency = Counter(word for sentence in words for word in set(sentence))
    scored = []
    for place, (passage, sentence) in enumerate(zip(part, words, strict=True)):
        if sentence and may_be(passage):
            shared = sum(frequency[word] for word in sentence) / len(sentence) / len(part)
            scored.append((shared + 0.1 / (1 + place) - (0.2 if _leans(passage) else 0.0), passage))
    return scored


def most_telling(passages: list[Passage], most: int) -> list[Passage]:
    """The most central whole sentences, at most so many, in reading order; without any, whatever has letters."""
    for is_good in (_is_whole, _has_letters):
        scored = _scored([one for one in passages if not one.heading], is_good)
        if scored:
            best = heapq.nlargest(most, scored, key=lambda one: one[0])
            return sorted((passage for _, passage in best), key=lambda passage: passage.number)
    return []


def parts_of(index: Index) -> list[Part]:
    """The parts of a document: what its bookmarks name, or else its headings."""
    headings = index.headings(_HEADINGS_READ)
    return _bookmarked(index.outline(), headings, None) or _headed(headings, None)


def text_of(part: Part, index: Index) -> list[Passage]:
    """The sentences of a part on the page where it begins."""
    return _part(index.page_passages(part.page, PART_READ), part.after)


def _is_whole(passage: Passage) -> bool:
    """Whether it looks like a sentence from its first word to its last, and says more than a few words."""
    text = passage.text
    begins = text[0].isalnum() or text[0] in "\"'“‘«„([¿¡「『"
    begins = begins and not _REMARK.fullmatch(text) and not is_contents_line(text)
    return begins and not text[0].islower() and ends_sentence(text) and count_tokens(text) >= 5


def _leans(passage: Passage) -> bool:
    return passage.text.split(maxsplit=1)[0].lower().rstrip(",") in _LEANING


def _has_letters(passage: Passage) -> bool:
    return any(map(str.isalpha, passage.text))


def _spread(items: list[T], count: int) -> list[T]:
    if len(items) <= count:
        return items
    return [items[i * len(items) // count] for i in range(count)]
