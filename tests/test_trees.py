"""Which files of a tree are images, which labels they have, and which archives are safe to read."""

from pathlib import Path

import pytest

from midas.data.trees import (
    MAX_DEPTH,
    MAX_TOTAL,
    Member,
    MissingPartError,
    check_members,
    find_images,
    normalize_name,
)
from midas.errors import MidasError

PATH = Path("data.zip")


def member(name, size=1, is_file=True, is_link=False):
    return Member(name, size, is_file, is_link, name.upper())


def test_members_are_listed_by_normalized_names():
    files, others = check_members(PATH, [member("./0//a.png"), member("0/", is_file=False)])
    assert files == {"0/a.png": "./0//A.PNG"} and others == ["0"]


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([member("../a.png")], "leads out of the archive"),
        ([member("C:\\a.png")], "leads out of the archive"),
        ([member("a.png", is_link=True)], "is a symbolic link"),
        ([member("a.png"), member("./a.png")], "twice"),
        ([member("a.png", size=11)], "exceeds the limit"),
        ([member("d/" * (MAX_DEPTH + 1) + "a.png")], "nested in more than"),
    ],
)
def test_unsafe_archives_are_refused(members, reason):
    with pytest.raises(MidasError, match=f"^data.zip: .*{reason}"):
        check_members(PATH, members, max_size=10)


def test_an_archive_that_is_too_large_in_total_is_refused():
    members = [member("a.png", MAX_TOTAL - 1), member("b.png", 1), member("c.png", 1)]
    assert len(check_members(PATH, members[:2], max_size=MAX_TOTAL)[0]) == 2
    with pytest.raises(MidasError, match=r"'c\.png' exceeds the limit"):
        check_members(PATH, members, max_size=MAX_TOTAL)


def test_images_get_the_name_of_their_folder_as_label():
    files = ["set/train/A/0.png", "set/train/b/1.JPG", "set/train/b/notes.txt", "set/2.png"]
    found = find_images(PATH, files, ["set/train/empty"], None)
    assert found.labels == {"set/train/A/0.png": "A", "set/train/b/1.JPG": "b", "set/2.png": None}
    assert found.class_folders == ("A", "b", "empty")


def test_blanks_around_the_name_of_a_class_do_not_make_another_one():
    found = find_images(PATH, ["A/0.png", " A /1.png", "b /2.png"], [" A ", "A", "b "], None)
    assert list(found.labels.values()) == ["A", "A", "b"] and found.class_folders == ("A", "b") and not found.unclear


def test_hidden_files_are_ignored():
    found = find_images(PATH, ["0/a.png", "0/._a.png", "__MACOSX/0/b.png", ".git/x/c.png"], [], None)
    assert found.labels == {"0/a.png": "0"} and found.class_folders == ("0",)


def test_a_part_that_nist_folders_lack_is_missing():
    with pytest.raises(MissingPartError, match="has no test part, but train_4a"):
        find_images(Path("data"), ["by_class/4a/train_4a/0.png"], [], "test")


def test_a_split_selects_its_folder():
    files = ["Training/0/a.png", "test/0/b.png", "test/1/c.png"]
    assert find_images(PATH, files, [], "train").labels == {"Training/0/a.png": "0"}
    assert find_images(PATH, files, [], "test").class_folders == ("0", "1")
    assert len(find_images(PATH, files, [], None).labels) == 3


def found(*folders, split=None):
    return find_images(PATH, [f"{folder}/0.png" for folder in folders], [], split)


@pytest.mark.parametrize(
    "folders",
    [
        ["A/Ann", "A/Bob", "b/Ann"],  # writers within classes, perhaps of some classes only
        ["A/Ann/s1", "A/Ann/s2", "b/Bob/s1"],
        ["A", "b/more"],
        ["Ann/A", "Ann/b", "Bob/A"],  # classes within writers
        ["Ann/s1/A", "Ann/s2/A", "Ann/s2/b", "Bob/s1/A"],
        ["A/01", "A/02", "b/01"],
        ["A/Ann", "b/Bob"],
    ],
)
def test_folders_of_writers_in_class_folders_or_around_them_are_no_classes(folders):
    for parts in ({"": folders}, {part: [f"x/{part}/{name}" for name in folders] for part in ("train", "test")}):
        for split in ("train", "test", None):
            images = found(*(name for names in parts.values() for name in names), split=split)
            count = len(folders) * (1 if split else len(parts))
            assert images.class_folders == ("A", "b") and set(images.labels.values()) == {"A", "b"}
            assert len(images.labels) == count and len(images.notes) == 1 and not images.unclear


def test_parts_of_each_class_folder():
    folders = [f"{name}/{part}" for name in ("cat", "dog") for part in ("train", "test")]
    assert found(*folders, split="test").labels == {"cat/test/0.png": "cat", "dog/test/0.png": "dog"}
    assert len(found(*folders).labels) == 4 and found(*folders).class_folders == ("cat", "dog")


def test_the_case_of_letters_may_be_said_by_the_folders_around_them():
    assert found("upper/A", "lower/A", "digits/0").class_folders == ("0", "lower_A", "upper_A")
    assert found("upper/A", "lower/a").class_folders == ("A", "a")


@pytest.mark.parametrize("folders", [["cat/Ann", "cat/Bob", "dog/Ann"], ["A/1", "A/2", "B/1"], ["1/A", "1/B", "2/A"]])
def test_where_two_levels_may_be_the_classes_it_is_unclear(folders):
    for split in ("train", None):
        assert "either these are the classes, or the folders in them" in found(*folders, split=split).unclear
    parts = [f"{part}/pets/{name}" for part in ("train", "test") for name in ("cat", "dog")]
    assert not found(*parts).unclear and found(*parts).class_folders == ("cat", "dog")


def test_words_for_groups_of_classes_are_named():
    (note,) = found("pets/cat", "pets/dog", "trees/oak").notes
    assert note == f"{PATH}: classes are the innermost folders (cat, dog, oak), not those around them (pets, trees)"
    assert not found("digits/0", "letters/A", "letters/b").notes


def test_images_beside_the_class_folders_of_a_split_have_no_label():
    files = ["a.png", "train/b.png", "train/A/0.png", "train/B/1.png", "test/c.png", "test/A/2.png"]
    found = find_images(Path("data"), files, [], "train")
    assert found.labels == {"a.png": None, "train/b.png": None, "train/A/0.png": "A", "train/B/1.png": "B"}


def test_a_tree_without_images_is_refused():
    with pytest.raises(MidasError, match="contains no images"):
        find_images(PATH, ["0/notes.txt"], ["1"], None)


@pytest.mark.parametrize("name", ["a/b", "./a/b", "a//b/", "././a/./b"])
def test_names_are_normalized(name):
    assert normalize_name(name) == "a/b"


def test_a_folder_of_notes_is_no_class_without_images():
    files = ["cat/0.png", "dog/0.png", "notes/readme.txt", "notes/old/list.csv"]
    found = find_images(PATH, files, ["cat", "dog", "notes", "notes/old"], None)
    assert found.class_folders == ("cat", "dog") and found.notes == (f"{PATH}: without images, so left out: notes",)
    assert find_images(PATH, [*files, "fox/lost.txt"], ["wolf"], None).class_folders == ("cat", "dog", "wolf")
    assert find_images(PATH, ["A/0.png", "B/0.png", "C/lost.txt"], [], None).class_folders == ("A", "B", "C")


def test_the_note_on_parts_of_class_folders_is_kept_where_these_lie_in_several_places():
    folders = ["digits/0", "digits/1", "letters/a", "letters/b"]
    files = [f"{folder}/{part}/1.png" for folder in folders for part in ("train", "val")]
    found = find_images(PATH, files, [], "test")
    assert found.class_folders == ("0", "1", "a", "b")
    assert found.notes == ("data.zip: has no test part; its validation part is taken",)
