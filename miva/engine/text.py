"""How the engine reads words: folding, segmenting scripts without spaces, stop words, and a light count of tokens."""

from __future__ import annotations

import re
import unicodedata

MAX_QUESTION = 8000
MAX_TERMS = 100

# Scripts written without spaces (or, as Korean, with particles glued on): indexed as overlapping pairs of characters.
DENSE = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3130-\u318f"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
_DENSE_RUN = re.compile(f"[{DENSE}]+")
_WORD = re.compile(r"\w+")
_HYPHENATED = re.compile(r"(?<!\w)\w++(?:[-\u2010\u2011\u00ad](?:\r?\n[ \t]*+)?\w++)+")
_MAY_BE_GROUPED = re.compile(r"\d[.,'’\u00a0\u202f]\d")
_GROUPED = re.compile(r"(?<![\w.,])\d{1,3}(?:[.,'’\u00a0\u202f]\d{3})+(?![\d])")
_LETTER_FIRST = re.compile(r"(?<![\w-])([^\W\d_])-(\w++)(?!-)")
_SEPARATORS = re.compile(r"[^\w]+")
# A sub-word tokenizer makes about one token of a common word and more of a long one; twelve letters is close enough.
TOKEN_ASCII = re.compile(r"\w{1,12}|[^\w\s]")
TOKEN_ANY = re.compile(rf"[{DENSE}]|[^\W{DENSE}]{{1,12}}|[^\w\s]")
# Accents, and the vowel points of Hebrew and Arabic. Not the voicing marks of kana: those make another letter.
_MARKS = re.compile(
    "[\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f]+"
)

_ENGLISH_STOP_WORDS = """
    a about above after again all also am an and any are as at be because been before being below between both but by
    can could did do does doing don down during each either few for from further had has have having he her here hers
    him himself his how i if in into is isn it its itself just ll me might more most much must my myself no nor not of
    off on once only or other ought our ours out over own per please re s same shall she should so some such t than that
    the their theirs them themselves then there these they this those through to too under until up upon ve very via
    was we were what when where which while who whom whose why will with within without would you your yours yourself
    many tell give show explain describe find name often called
"""
# Only those that are no English words ("war", "die", "son" are).
_OTHER_STOP_WORDS = """
    der das den dem ein eine einen einem einer und oder ist sind waren wird werden wie wer wo wann warum
    welche welcher welches ich du es wir kann haben habe sich mein meine
    zu zum zur im auf für mit von bei nicht
    le la les un une du de et ou sont était qui que quoi quel quelle quels quelles où quand comment pourquoi dans
    avec ce cette ces est du
    el los las una unos unas fue es quién qué cuál cuáles dónde cuándo cómo por para del
    il gli che dove quando perché è
    het een en wat waar wanneer waarom welke
"""
STOP_WORDS = frozenset(_ENGLISH_STOP_WORDS.split()) | frozenset(_OTHER_STOP_WORDS.split())
# Words of questions in Chinese and Japanese that carry no topic; a query is cut at them before it is paired.
_DENSE_STOP = re.compile(
    "什么|甚麼|多少|哪里|哪裡|哪个|哪些|怎么|怎樣|为什么|请问|告诉|ですか|ますか|どこ|いつ|なに|だれ|なぜ|どの|どれ"
    "|[的是了在和有吗呢谁誰几幾何吧はがをにでともかのへや]"
)


def fold(text: str) -> str:
    """`text` without accents, ligatures and presentation forms; ASCII text is returned as it is."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFKD", text)))


def search_text(text: str) -> str:
    """What the keyword index is given for `text`: folded, dense scripts in pairs, and joined as well what is hyphenated
    or grouped, so that "email" finds "e-mail" and "1250" finds "1,250"."""
    joined = _joined(text)
    folded = fold(f"{text} {joined}" if joined else text)
    return folded if folded.isascii() else _DENSE_RUN.sub(_pairs, folded)


def _joined(text: str) -> str:
    found = _HYPHENATED.findall(text) if "-" in text or not text.isascii() else []
    if _MAY_BE_GROUPED.search(text):  # most texts have none: be quick about them
        found += _GROUPED.findall(text)
    return " ".join(_SEPARATORS.sub("", one) for one in found)


def _as_joined(question: str) -> str:
    """The question with such numbers and words as "e-mail" in the one form in which every document has them."""
    grouped = _GROUPED.sub(lambda found: _SEPARATORS.sub("", found[0]), question)
    return _LETTER_FIRST.sub(r"\1\2", grouped)


def query_terms(question: str) -> list[str]:
    """The distinct terms of a question in order, stop words left out unless there is nothing else.

    Of a question as long as a page only the beginning counts: each term costs a search.
    """
    folded = fold(_as_joined(question[:MAX_QUESTION])).lower()
    lean = _DENSE_RUN.sub(lambda run: _DENSE_STOP.sub(" ", run[0]), folded)
    found = list(dict.fromkeys(_WORD.findall(_DENSE_RUN.sub(_pairs, lean))))
    telling = [word for word in found if word not in _FOLDED_STOP_WORDS]
    terms = telling or list(dict.fromkeys(_WORD.findall(_DENSE_RUN.sub(_pairs, folded))))
    return terms[:MAX_TERMS]


def match_expression(term: str) -> str:
    """An FTS5 expression that means the term and nothing else, whatever is in it."""
    quoted = '"' + term.replace('"', '""') + '"'
    # One character of a dense script stands at the head of its pairs (and alone at the end of a run).
    return f"{quoted} *" if len(term) == 1 and _DENSE_RUN.match(term) else quoted


def count_tokens(text: str) -> int:
    """About how many tokens a sub-word tokenizer would make of `text`."""
    return len((TOKEN_ASCII if text.isascii() else TOKEN_ANY).findall(text))


def one_line(text: str) -> str:
    """`text` with every stretch of white space as one space."""
    return " ".join(text.split())


def plain_words(text: str) -> str:
    """`text` as it is told apart from its repetitions: words and numbers, without case, accents and signs."""
    return " ".join(_WORD.findall(fold(text).lower())) or text


def is_latin(text: str) -> bool:
    """Whether at least half of the letters of `text` are Latin ones, or it has none: the embedding model can read it.

    Of other scripts it knows single letters or none, and any two sentences are near to it (cosines of 0.6 between
    unrelated Arabic or Russian ones, of 1.0 in Thai).
    """
    if text.isascii():
        return True
    letters = [char for char in fold(text) if char.isalpha()]
    return 2 * sum(char < "\u0250" for char in letters) >= len(letters)


def is_english(question: str) -> bool:
    """Whether a question has at least as many little words of English as of the other languages that are known here."""
    words = _WORD.findall(fold(question).lower())
    return sum(word in _ENGLISH for word in words) >= sum(word in _OTHERS for word in words)


def _pairs(run: re.Match[str]) -> str:
    letters = "".join(c for c in run[0] if unicodedata.category(c)[0] in "LN")
    if len(letters) < 2:
        return f" {letters} "
    # The last letter alone as well, so that a search for one letter finds every place by prefix.
    return " " + " ".join(letters[i : i + 2] for i in range(len(letters))) + " "


_ENGLISH = frozenset(_ENGLISH_STOP_WORDS.split())
_OTHERS = frozenset(map(fold, _OTHER_STOP_WORDS.split())) - _ENGLISH
_FOLDED_STOP_WORDS = STOP_WORDS | {fold(word) for word in STOP_WORDS}
