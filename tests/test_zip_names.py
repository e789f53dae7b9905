"""The encoding of names in a zip is found by what the names would say."""

import zipfile

import pytest

from midas.data.zip_names import decode_names


def members(names, encoding):
    """Describe members as zipfile does whose names lack the flag of UTF-8."""
    infos = [zipfile.ZipInfo("x") for _ in names]
    for info, name in zip(infos, names, strict=True):
        info.filename, info.flag_bits = name.encode(encoding).decode("cp437"), 0
    return infos


@pytest.mark.parametrize(
    ("encoding", "title", "archives"),
    [
        ("gbk", "GBK", [["数据/一/0.png", "数据/二/1.png"], ["中/1.png"], ["字"], ["手写/A大/1.png"]]),
        ("cp932", "Shift-JIS", [["あ/1.png", "い/2.png"], ["ア/1.png"], ["日本/1.png"], ["データ/一"], ["漢字"]]),
        ("cp437", "code page 437", [["é/1.png"], ["Größe/ä"], ["Köln/1"], ["élève"], ["mañana"], ["Übung", "ß"]]),
        ("utf-8", None, [["é/ä.png"], ["中/日本.png", "plain"]]),
        ("ascii", None, [["A/1.png", "b/2.png"]]),
    ],
)
def test_names_are_decoded(encoding, title, archives):
    for names in archives:
        assert decode_names(members(names, encoding)) == (names, title)


def test_names_in_utf_8_are_left_alone():
    info = zipfile.ZipInfo("é/1.png")
    info.flag_bits = 0x800
    assert decode_names([info, *members(["中"], "gbk")]) == (["é/1.png", "中"], "GBK")
