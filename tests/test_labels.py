"""Labels become class names: conventions of folder names, files of names, and composed Unicode."""

import pytest

from midas.data.labels import convention, name_classes, parse_class_names, read_class_names
from midas.errors import MidasError


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["48", "65", "122"], "0Az"),
        (["30", "4a", "6A"], "0Jj"),
        (["43_63", "41"], "CA"),
        (["A_caps", "a_small", "7"], "Aa7"),
        (["upper_A", "lower_a", "digit_3"], "Aa3"),
        (["A-upper", "A-lower", "B_UC"], "AaB"),
        (["U+0041", "u0061", "0x30"], "Aa0"),
        (["Sample001", "Sample062"], "0z"),
    ],
)
def test_folders_that_all_follow_a_convention_are_read_by_it(names, classes):
    title, found = convention(names)
    assert title and "".join(found[name] for name in names) == classes


@pytest.mark.parametrize(
    "names",
    [
        ["0", "1", "2"],  # plain characters
        ["10", "11", "12"],  # numbers that are no codes
        ["48", "cat"],  # not all of them
        ["4a", "4A"],  # one class twice
        ["A_caps", "A_left"],
        ["7_caps", "A_caps"],
        ["Sample001", "Sample063"],
        [],
    ],
)
def test_other_names_stay_as_they_are(names):
    assert convention(names) == (None, None)


def test_numbers_are_hexadecimal_first_where_nist_folders_say_so():
    assert convention(["48", "49"])[1] == {"48": "0", "49": "1"}
    assert convention(["48", "49"], hexadecimal=True)[1] == {"48": "H", "49": "I"}


def test_given_names_replace_labels_and_may_merge_classes():
    class_names, indices = name_classes(["2", "0", "1"], {"0": "b", "1": "A", "2": "A", "3": "unused"})
    assert class_names == ("A", "b") and indices.tolist() == [0, 1, 0]
    with pytest.raises(MidasError, match="no class name for 7; the names given are for 0"):
        name_classes(["7", "0"], {"0": "b"})


@pytest.mark.parametrize(
    "text",
    [
        "label,name\n0,zero\n1,one\n",
        "0,zero\n1,one",
        "0;zero\r\n1;one\r\n",
        "0\tzero\n1\tone",
        "index,codepoint,char\n0,U+306F,zero\n1,U+3044,one",
        "zero\none",
        '{"0": "zero", "1": "one"}',
        '["zero", "one"]',
        "\ufefflabel,class_name,examples\n0,zero,12\n1,one,13",
    ],
)
def test_files_of_class_names(text, tmp_path):
    (tmp_path / "names").write_bytes(text.encode())
    assert read_class_names(tmp_path / "names") == {"0": "zero", "1": "one"}


def test_the_mapping_of_emnist_names_the_capital_and_names_are_composed():
    assert parse_class_names("1 65 97\n2 66 98\n") == {"1": "A", "2": "B"}
    assert parse_class_names("0,e\N{COMBINING ACUTE ACCENT}") == {"0": "\N{LATIN SMALL LETTER E WITH ACUTE}"}


@pytest.mark.parametrize("text", ["", "0,a\n0,b", "0,\n", "[1, 2]", "{", "0,a,b\n1,b", b"\xff\xfe\xff"])
def test_other_files_are_no_class_names(text, tmp_path):
    (tmp_path / "names").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(MidasError, match=r"names: .*expected lines of label,name"):
        read_class_names(tmp_path / "names")
    with pytest.raises(MidasError, match="cannot be read"):
        read_class_names(tmp_path / "none")


@pytest.mark.parametrize("text", ["name,label\nA,0\nB,1", "0 A\n1 B", "0: A\n1: B", '{"A": 0, "B": 1}'])
def test_names_may_come_first_and_other_characters_may_separate_them(text, tmp_path):
    (tmp_path / "names").write_text(text)
    assert read_class_names(tmp_path / "names") == {"0": "A", "1": "B"}
