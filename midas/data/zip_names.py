"""Names in zip archives whose encoding is not recorded: programs wrote them as the system of their user did."""

from __future__ import annotations

import unicodedata
import zipfile
from collections.abc import Sequence

UTF_8 = 0x800  # the flag of a name in UTF-8


def decode_names(infos: Sequence[zipfile.ZipInfo]) -> tuple[list[str], str | None]:
    """Decode the names of all members.

    Names without the flag of UTF-8 are UTF-8 if they all can be, otherwise the most plausible of Shift-JIS, GBK and
    code page 437, one for the whole archive. Plausible are common Chinese characters (GB 2312) and common kanji and
    kana (JIS level 1) beside their like, and Latin letters within words; of equally plausible encodings, the first in
    this order.

    Returns:
        The names, and the encoding if it was chosen by plausibility.
    """
    raw = [None if info.flag_bits & UTF_8 or info.filename.isascii() else _bytes(info.filename) for info in infos]
    unknown = [name for name in raw if name is not None]
    encoding = _choose(unknown) if unknown else "utf-8"
    names = [info.filename if name is None else name.decode(encoding) for info, name in zip(infos, raw, strict=True)]
    return names, ENCODINGS.get(encoding)


ENCODINGS = {"cp932": "Shift-JIS", "gbk": "GBK", "cp437": "code page 437"}


def _bytes(name: str) -> bytes | None:
    try:
        return name.encode("cp437")  # what zipfile decoded it from
    except UnicodeEncodeError:  # another source of the name, such as a record of its own in Unicode
        return None


def _choose(names: list[bytes]) -> str:
    if _decoded(names, "utf-8") is not None:
        return "utf-8"
    scores = {encoding: _plausibility(_decoded(names, encoding), encoding) for encoding in ENCODINGS}
    return max(scores, key=lambda encoding: scores[encoding])


def _decoded(names: list[bytes], encoding: str) -> list[str] | None:
    try:
        return [name.decode(encoding) for name in names]
    except UnicodeDecodeError:
        return None


def _plausibility(names: list[str] | None, encoding: str) -> float:
    """Mean plausibility, in 0-1, of the characters beyond ASCII; -1 if they cannot be decoded."""
    if names is None:
        return -1.0
    found = [
        _of_character(name[i], name[max(i - 1, 0) : i] + name[i + 1 : i + 2], encoding)
        for name in names
        for i in range(len(name))
        if not name[i].isascii()
    ]
    return sum(found) / max(len(found), 1)


def _of_character(character: str, neighbors: str, encoding: str) -> float:
    in_word = any(each.isascii() and each.isalpha() for each in neighbors)
    if encoding == "cp437":
        is_latin = unicodedata.name(character, "").startswith("LATIN")
        return is_latin * (0.6 + 0.4 * any(each.islower() and each.isascii() for each in neighbors))
    return _is_common(character, encoding) * (0.5 if in_word else 1.0)


def _is_common(character: str, encoding: str) -> bool:
    code = character.encode(encoding)
    if len(code) < 2:  # half-width katakana
        return False
    if encoding == "gbk":
        return 0xB0 <= code[0] <= 0xF7 and code[1] >= 0xA1  # the hanzi of GB 2312
    is_kana = (code[0] == 0x82 and code[1] >= 0x9F) or (code[0] == 0x83 and code[1] <= 0x96) or code == b"\x81\x5b"
    return is_kana or b"\x88\x9f" <= code <= b"\x98\x72"
