"""From labels, such as folder names, numbers and codes, to the names of classes and their order."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from midas.data.sample import CHARACTERS
from midas.errors import MidasError, cannot, printable, some

ASCII_CODES = {str(ord(character)): character for character in CHARACTERS}
HEX_CODES = {f"{ord(character):02x}": character for character in CHARACTERS}
_UPPER, _LOWER = "upper|uppercase|uc|cap|caps|capital|capitals|big", "lower|lowercase|lc|small"
_CASE = re.compile(
    rf"(?P<case>{_UPPER}|{_LOWER}|digit|number)[ _-](?P<character>[a-z0-9])"
    rf"|(?P<character2>[a-z0-9])[ _-](?P<case2>{_UPPER}|{_LOWER}|digit|number)",
    re.IGNORECASE,
)
LABEL_TITLES = ("label", "labels", "class", "index", "id", "code", "key", "number")
NAME_TITLES = ("name", "names", "char", "character", "class_name", "label_name", "class name", "title", "symbol")


def clean(text: str) -> str:
    """Give a label as it is shown and compared: composed (Unicode NFC), without blanks around it, on one line.

    >>> clean("e\N{COMBINING ACUTE ACCENT}") == "\N{LATIN SMALL LETTER E WITH ACUTE}"
    True
    >>> clean(" A "), clean(" ")
    ('A', ' ')
    """
    return printable(_composed(text))


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip() or text)  # a blank alone may be a label


def plain_numbers(labels: list[str]) -> list[str]:
    """Write labels such as 3.0 and 3.000000000e+00 as 3, provided that all are such numbers or empty.

    >>> plain_numbers(["3.0", "", "7.0"]), plain_numbers(["3.0", "A"])
    (['3', '', '7'], ['3.0', 'A'])
    """
    if all(re.fullmatch(r"-?\d+\.0*(e\+00)?", label) for label in set(labels) - {""}):
        return [label.partition(".")[0] for label in labels]
    return labels


def is_character(text: str) -> bool:
    """Whether a folder name can only stand for a class: it is one character, or a code of one.

    >>> [is_character(name) for name in ("A", "Sample011", "Img")]
    [True, True, False]
    """
    return len(_composed(text)) == 1 or convention([text])[1] is not None


def may_hold_label(name: str) -> bool:
    """Whether a file name looks like a label and a number.

    >>> [may_hold_label(name) for name in ("x/k-4.jpg", "12_A.png", "img001-002.png")]
    [True, True, False]
    """
    return bool(re.search(r"(^|/)([^\W_][-_ ]\d+|\d+[-_ ][^\W_])\.\w+$", name))


# ---- conventions of folder names


def _of_sample(name: str) -> str | None:
    number = int(match[1]) if (match := re.fullmatch(r"Sample(\d{3})", name)) else 0
    return CHARACTERS[number - 1] if 1 <= number <= len(CHARACTERS) else None


def _of_hex(name: str) -> str | None:
    """NIST Special Database 19: "4a"; in by_merge "43_63" is C and c, named by the first."""
    codes = [HEX_CODES.get(code) for code in name.lower().split("_")]
    return codes[0] if all(codes) else None


def _of_unicode(name: str) -> str | None:
    code = int(match[1], 16) if (match := re.fullmatch(r"(?:0x|u\+?)([0-9a-f]{2,6})", name.lower())) else 0
    return chr(code) if 0x20 < code < 0x110000 and chr(code).isprintable() else None


def _of_case(name: str) -> str | None:
    if not (match := _CASE.fullmatch(name)):
        return None
    character, case = match["character"] or match["character2"], match["case"] or match["case2"]
    if character.isdigit() != (case.lower() in ("digit", "number")):
        return None
    return character.upper() if re.fullmatch(_UPPER, case, re.IGNORECASE) else character.lower()


def has_case(name: str) -> bool:
    """Whether a name is a letter and its case.

    >>> has_case("upper_A"), has_case("A")
    (True, False)
    """
    return _of_case(name) is not None


def convention(names: Collection[str], hexadecimal: bool = False) -> tuple[str | None, dict[str, str] | None]:
    """Find the convention that all names of class folders follow.

    Args:
        names: of all class folders.
        hexadecimal: whether numbers are hexadecimal where both are possible, as in NIST's folders.

    Returns:
        How to describe it in a note, and the class by name; (None, None) if names are classes themselves.

    >>> convention(["4a", "61"])
    ('hexadecimal ASCII codes', {'4a': 'J', '61': 'a'})
    >>> convention(["A_caps", "a_small", "7"])[1]
    {'A_caps': 'A', 'a_small': 'a', '7': '7'}
    >>> convention(["65", "cat"])
    (None, None)
    """
    codes = [("ASCII codes", lambda name: ASCII_CODES.get(name.lstrip("0"))), ("hexadecimal ASCII codes", _of_hex)]
    for title, convert in (
        ("Sample001 to Sample062", _of_sample),
        *(reversed(codes) if hexadecimal else codes),
        ("Unicode code points", _of_unicode),
        ("letters and their case", lambda name: name if len(name) == 1 else _of_case(name)),
    ):
        found = {name: convert(name) for name in names}
        plain = all(len(name) == 1 for name in names)
        if names and not plain and all(found.values()) and len(set(found.values())) == len(names):
            return title, {name: str(title) for name, title in found.items()}
    return None, None


# ---- classes of a data set


def name_classes(labels: list[str], given: Mapping[str, str] | None = None) -> tuple[tuple[str, ...], np.ndarray]:
    """Convert labels, such as the names of class folders, to class names and indices.

    Args:
        labels: one per image.
        given: the class name of each label; None takes labels as names, but Sample001 to Sample062 as 0-9, A-Z, a-z.

    Returns:
        The class names, and an int64 array with an index into them for each label. Classes are in the order 0-9, A-Z,
        a-z as far as they are among these, then in natural order.

    Raises:
        MidasError: a label is not among the given ones.

    >>> name_classes(["Sample011", "Sample001", "Sample011"])
    (('0', 'A'), array([1, 0, 1]))
    >>> name_classes(["1", "2"], given={"1": "A", "2": "A"})
    (('A',), array([0, 0]))
    """
    distinct = set(labels)
    if given is None:
        numbered = {label: _of_sample(label) or "" for label in distinct}
        given = numbered if all(numbered.values()) else {label: label for label in distinct}
    if unnamed := distinct - set(given):
        raise MidasError(f"no class name for {some(unnamed)}; the names given are for {some(given)}")
    class_names = tuple(sorted({given[label] for label in distinct}, key=_order))
    indices = {title: index for index, title in enumerate(class_names)}
    return class_names, np.array([indices[given[label]] for label in labels], np.int64)


def _order(title: str) -> tuple[bool, int, list[tuple[int, str]]]:
    position = CHARACTERS.find(title) if len(title) == 1 else -1
    parts = re.split(r"([0-9]+)", title)  # text and digits alternate; longer numbers are larger
    natural = [(len(part.lstrip("0")) if i % 2 else 0, part) for i, part in enumerate(parts)]
    return position < 0, position, natural


# ---- files of class names


def read_class_names(path: Path) -> dict[str, str]:
    """Read a file of class names.

    It is a CSV file of label and name, with a title line or without, a JSON object, the mapping.txt of EMNIST, or a
    list of names, one per line or in JSON, for the labels 0, 1, 2 and so on.

    Raises:
        MidasError: it cannot be read, or has none of these forms.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        names = _from_json(json.loads(text)) if text.lstrip()[:1] in ("{", "[") else parse_class_names(text)
    except OSError as error:
        raise cannot("be read", path, error) from error
    except (ValueError, RecursionError, csv.Error) as error:
        raise MidasError(
            f"{path}: not a list of class names ({str(error)[:80]}); expected lines of label,name"
        ) from error
    if not names:
        raise MidasError(f"{path}: has no class names; expected lines of label,name")
    return names


def _from_json(value: Any) -> dict[str, str]:
    if isinstance(value, dict) and all(type(index) is int for index in value.values()):
        return _checked((str(index), name) for name, index in value.items())  # class_indices of Keras
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return _checked((str(label), name) for label, name in items)


def parse_class_names(text: str) -> dict[str, str]:
    r"""Parse lines of class names, as `read_class_names` describes them.

    >>> parse_class_names("label,name\n0,zero\n1,one")
    {'0': 'zero', '1': 'one'}
    >>> parse_class_names("1 65 97\n2 66 98")  # EMNIST's letters: a class is named by the capital
    {'1': 'A', '2': 'B'}
    >>> parse_class_names("0 A\n1 B"), parse_class_names("name,label\nA,0")
    ({'0': 'A', '1': 'B'}, {'0': 'A'})
    >>> parse_class_names("cat\ndog")
    {'0': 'cat', '1': 'dog'}
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and all(re.fullmatch(r"\s*\d+(\s+\d{1,6})+\s*", line) for line in lines):
        codes = (line.split()[:2] for line in lines)
        return _checked((label, chr(int(code))) for label, code in codes)
    if lines and all(found := [re.fullmatch(r"\s*(\d+)\s*[\s:=]\s*(\S+)\s*", line) for line in lines]):
        return _checked((match[1], match[2]) for match in found if match)
    delimiter = "\t" if all("\t" in line for line in lines) else ";" if all(";" in line for line in lines) else ","
    rows = list(csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter))
    width = max((len(row) for row in rows), default=0)
    if width < 2:
        return _checked((str(index), row[0]) for index, row in enumerate(rows))
    titles = [cell.strip().lower() for cell in rows[0]]
    if titles[0] in NAME_TITLES and titles[-1] in LABEL_TITLES:
        rows, titles = [row[::-1] for row in rows], titles[::-1]
    has_titles = titles[0] in LABEL_TITLES and titles[0] != titles[-1]
    named = next((titles.index(title) for title in NAME_TITLES if has_titles and title in titles), width - 1)
    if short := next((row for row in rows if len(row) != width), None):
        raise ValueError(f"{','.join(short)!r} has {len(short)} columns instead of {width}")
    return _checked((row[0].strip(), row[named].strip()) for row in rows[has_titles:])


def _checked(pairs: Iterable[tuple[str, Any]]) -> dict[str, str]:
    names: dict[str, str] = {}
    for label, name in pairs:
        if not isinstance(name, str) or not name or clean(label) in names:
            raise ValueError(f"label {label!r} has no name, or two")
        names[clean(label)] = clean(name)
    return names
