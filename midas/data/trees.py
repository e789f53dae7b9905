"""Trees of file names, from a directory or an archive: which are safe to read, which are images, and their labels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from midas.data.labels import clean, has_case, is_character
from midas.errors import MidasError, printable, some

Info = TypeVar("Info")

IMAGE_SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".gif", ".bmp", ".webp"),
    *(".pbm", ".pgm", ".ppm", ".pnm", ".pam", ".pfm", ".jp2", ".j2k", ".jpx", ".avif", ".avifs", ".heic", ".heif"),
    *(".hif", ".ico", ".cur", ".icns", ".pcx", ".dcx", ".psd", ".qoi", ".sgi", ".rgb", ".bw", ".ras", ".sun"),
    *(".tga", ".dds", ".im", ".msp", ".xbm", ".xpm", ".hdr"),
)
OTHER_FILES = re.compile(  # that people keep beside images
    r"\.(txt|csv|tsv|jsonl?|xml|ya?ml|toml|ini|cfg|conf|md|rst|tex|html?|css|log|lst|docx?|mit|gt|xlsx?|ods"
    r"|py[cw]?|ipynb|m|r|c|h|cpp|java|js|sh|bat|npy|npz|mat|h5|hdf5|pkl|pickle|joblib|pth?|ckpt|keras|onnx|tflite|pb"
    r"|parquet|arrow|feather|tfrecords?|db|sqlite|md5|sha1|sha256|sig|lnk|url|tmp|bak|swp|part|crdownload)(\.gz)?$"
    r"|~$|(^|/)(readme|licen[cs]e|copying|notice|authors|changelog|citation|manifest|makefile|version)[^/]*$",
    re.IGNORECASE,
)
HIDDEN = re.compile(r"(^|/)(\.|(__MACOSX|@eaDir)(/|$))")  # the last one: previews of Synology
# The part of a data set that a word in the name of a folder or file stands for.
PARTS = {"train": "train", "training": "train", "test": "test", "testing": "test", "t10k": "test"}
PARTS |= dict.fromkeys(("val", "valid", "validation", "dev"), "val")
PART_TITLES = ("split", "usage", "subset", "set", "partition", "part")  # of a column in a table
_PART = re.compile(rf"(?:^|[^a-z])[xy]?({'|'.join(PARTS)})(?:set|data|images?|imgs?|labels?)?(?![a-z])")
LARGE = re.compile(r"idx[1-4]|\.(npy|npz|csv|tsv|parquet|zip|tar)\b", re.IGNORECASE)  # files of more than one image
NIST = re.compile(  # the folders within a class folder of NIST Special Database 19
    r"(?P<place>(?:.*/)?[0-9a-f]{2}(?:_[0-9a-f]{2})*)/(?P<part>hsf_[0-9]|train_[0-9a-f_]{2,})", re.IGNORECASE
)
MAX_MEMBER = 2**28  # bytes of one image file after decompression
MAX_TOTAL = 2**33  # bytes of a whole archive after decompression
MAX_DEPTH = 256  # nested folders


@dataclass(frozen=True)
class Member(Generic[Info]):
    """What an archive says about one of its members.

    Attributes:
        name: path in the archive.
        size: in bytes, after decompression.
        is_file: whether it is a file, not a folder or a device.
        is_link: whether it is a symbolic link.
        info: the archive's own description of it.
    """

    name: str
    size: int
    is_file: bool
    is_link: bool
    info: Info


def check_members(
    path: Path, members: Iterable[Member[Info]], max_size: int = MAX_MEMBER
) -> tuple[dict[str, Info], list[str]]:
    """List the members of an archive, provided that it is safe to read.

    Args:
        path: of the archive, to name it in errors.
        members: all of its members.
        max_size: limit of each that is not `LARGE`, in bytes after decompression.

    Returns:
        The files by their normalized names, and the normalized names of everything else.

    Raises:
        MidasError: a member leads out of the archive, is a link, occurs twice or is too large.
    """
    files: dict[str, Info] = {}
    others, total = [], 0
    for member in members:
        name = member.name
        slashed = name.replace("\\", "/")
        check_depth(path, slashed)
        if member.is_link or ".." in slashed.split("/") or re.match("/|[A-Za-z]:/", slashed):
            what = "is a symbolic link" if member.is_link else "leads out of the archive"
            raise MidasError(f"{path}: not safe to read: {name!r} {what}; pack plain files under relative names")
        total += member.size
        if (member.size > max_size and not LARGE.search(name)) or total > MAX_TOTAL:
            limits = f"{max_size >> 20:,} MiB per file, {MAX_TOTAL >> 20:,} MiB in total"
            raise MidasError(
                f"{path}: {name!r} exceeds the limit when unpacked ({limits}); remove it, or unpack it all"
            )
        if not member.is_file:
            others.append(normalize_name(name))
        elif normalize_name(name) in files:
            raise MidasError(f"{path}: contains {name!r} twice; pack the archive again")
        else:
            files[normalize_name(name)] = member.info
    return files, others


def check_depth(path: Path, name: str) -> None:
    """Refuse a name with more than `MAX_DEPTH` nested folders, as only damaged or hostile data have them.

    Raises:
        MidasError: it has more.
    """
    if name.count("/") > MAX_DEPTH:
        raise MidasError(f"{path}: {name[:40]!r}… is nested in more than {MAX_DEPTH} folders; give an inner folder")


def normalize_name(name: str) -> str:
    """Remove empty and "." components from a name.

    >>> normalize_name("./0//a.png")
    '0/a.png'
    """
    return "/".join(part for part in name.split("/") if part not in ("", "."))


# ---- parts of a data set


class MissingPartError(MidasError):
    """A data set has other parts than the one that is asked for."""


def part_of(name: str) -> str | None:
    """Name the part of a data set that a file or folder belongs to, by the innermost name that says so.

    >>> [part_of(name) for name in ("Training_Set/A", "x/mnist_test.csv", "t10k-images", "validation", "trainPart1")]
    ['train', 'test', 'test', 'val', 'train']
    """
    for each in reversed(name.split("/")):
        words = re.sub("(?<=[a-z])(?=[A-Z])", "_", each).lower()
        if match := _PART.search(words):
            return PARTS[match[1]]
    return None


def choose_part(path: Path, names: Iterable[str], split: str | None) -> tuple[list[str], tuple[str, ...]]:
    """Select the files or folders of a part of a data set.

    "test" takes the validation part where there is no test part; "train" never does. Without any name of a part, all
    are taken.

    Args:
        path: of the data set, for messages.
        names: of the files or folders.
        split: "train" or "test"; None for all.

    Returns:
        The names, and notes.

    Raises:
        MissingPartError: it has other parts only.
    """
    names = list(names)
    parts = [part_of(name) for name in names]
    for part in ("test", "val") if split == "test" else (split,):
        if split and part in parts:
            note = f"{path}: has no test part; its validation part is taken"
            chosen = [name for name, of_name in zip(names, parts, strict=True) if of_name == part]
            return chosen, (note,) if part != split else ()
    if split and any(parts):
        raise MissingPartError(
            f"{path}: has no {split} part, but {some(name or '.' for name in names)}; give the one to read"
        )
    return names, ()


# ---- class folders


@dataclass(frozen=True)
class Images:
    """The images of a tree.

    Attributes:
        labels: the label of each image by its name, sorted; None for one that is not in a class folder.
        class_folders: the labels of all class folders, empty ones included.
        notes: what a user should know about them.
        is_nist: whether they lie as in NIST Special Database 19.
        unclear: why it is not clear which folders are the classes; empty if it is.
    """

    labels: dict[str, str | None]
    class_folders: tuple[str, ...]
    notes: tuple[str, ...] = ()
    is_nist: bool = False
    unclear: str = ""


def split_by_name(files: Iterable[str]) -> tuple[list[str], list[str]]:
    """Select the files that are images by their suffix, and those that may be: all but what people keep beside images.

    >>> split_by_name(["A/0.JPG", "A/1", "A/2.dat", "A/labels.csv", "README"])
    (['A/0.JPG'], ['A/1', 'A/2.dat'])
    """
    files = sorted(files)
    images = [name for name in files if name.lower().endswith(IMAGE_SUFFIXES)]
    known = set(images)
    return images, [name for name in files if name not in known and not OTHER_FILES.search(name)]


def find_images(path: Path, files: Iterable[str], folders: Iterable[str], split: str | None) -> Images:
    """Find the images of a tree and its class folders, whatever folders enclose these.

    A folder is no class if it is the only one with images, unless its name is a character; nor are folders that are all
    named after the parts of a data set. Files whose names do not tell whether they are images count as images where
    others are, and where there are no others.

    Where folders are nested, class folders are those whose names are characters: those of the writers, for example, may
    lie in them or around them. Without such names, they are the innermost folders.

    Args:
        path: of the tree, to name it in errors.
        files: names of the files in it, with slashes.
        folders: names of the folders in it, as far as they are listed separately.
        split: "train" or "test", to choose one of several places with class folders; None for all.

    Raises:
        MidasError: there are no images, or none of the split.

    >>> found = find_images(Path("data.zip"), ["train/A/0.png", "train/b/1.png", "2.png"], [], None)
    >>> found.labels, found.class_folders
    ({'2.png': None, 'train/A/0.png': 'A', 'train/b/1.png': 'b'}, ('A', 'b'))
    >>> find_images(Path("data.zip"), ["A/Ann/0.png", "A/Bob/0.png", "b/Ann/0.png"], [], None).class_folders
    ('A', 'b')
    """
    files = [name for name in files if not HIDDEN.search(name)]
    images, unknown = split_by_name(files)
    parents = {name: _parent(name) for name in images or unknown}
    if not parents:
        raise MidasError(f"{path}: contains no images")
    is_nist = all(NIST.fullmatch(parent) for parent in parents.values())
    if is_nist:
        parents = _nist_part(path, parents, split)
    parents, of_inner = _inner_part(path, parents, split)
    outer = _outer(parents)
    places = {_parent(parent) for parent in parents.values() if parent not in outer}
    parents, of_places = _outer_part(path, parents, places, split)
    notes = of_inner + of_places
    folders_of_images = set(parents.values())
    parents |= {name: _parent(name) for name in unknown if _parent(name) in folders_of_images}
    parents = dict(sorted(parents.items()))
    classes, of_classes, unclear = _class_folders(path, folders_of_images - outer)
    if _are_no_classes({_last(folder) for folder in classes.values()}, len(places)):
        return Images(dict.fromkeys(parents), (), notes)
    titles = _titles(set(classes.values()))
    labels = {name: titles.get(classes.get(parent, parent)) for name, parent in parents.items()}
    listed = {name for name in folders if not HIDDEN.search(name)} | {_parent(name) for name in files}
    if is_nist:
        listed = set(parents.values())
    roots = {_parent(folder) for folder in titles}
    found = {folder for name in listed for folder in _ancestors(name) if _parent(folder) in roots}
    if imageless := _without_images(files, {*images, *unknown}) & found:
        found -= imageless
        of_classes = (*of_classes, f"{path}: without images, so left out: {some(map(printable, imageless))}")
    class_folders = {titles.get(folder) or clean(_last(folder)) for folder in found}
    return Images(labels, tuple(sorted(class_folders)), (*notes, *of_classes), is_nist, unclear)


def _without_images(files: list[str], images: set[str]) -> set[str]:
    """Find folders with other files only, such as notes; those named like a character are class folders anyway."""
    others = {folder for name in files if name not in images for folder in _ancestors(_parent(name))}
    others -= {folder for name in images for folder in _ancestors(_parent(name))}
    return {folder for folder in others if not is_character(_last(folder))}


def _outer(parents: dict[str, str]) -> set[str]:
    """Find the folders that enclose other folders with images."""
    return {"", *(folder for parent in set(parents.values()) for folder in _ancestors(_parent(parent)))}


def _class_folders(path: Path, folders: set[str]) -> tuple[dict[str, str], tuple[str, ...], str]:
    """Find the class folder of each innermost folder with images: itself, or one that encloses it.

    It is clear where one level of folders has characters as names, or no name is in several places.

    Returns:
        The class folder of each, notes, and why it is not clear which level it is.
    """
    innermost = {folder: folder for folder in folders}
    paths = {folder: folder.split("/") for folder in folders}
    depth = min(map(len, paths.values()), default=1)
    start = next((i for i, names in enumerate(zip(*paths.values(), strict=False)) if len({*names}) > 1), depth - 1)
    levels = [
        {folder: "/".join(names[: level + 1]) for folder, names in paths.items()} for level in range(start, depth)
    ]
    levels += [innermost] if innermost not in levels else []
    of_characters = [level for level in levels if _are_characters({_last(each) for each in level.values()})]
    classes = of_characters[0] if len(of_characters) == 1 else innermost
    places = {_parent(folder) for folder in classes.values()}
    inner = {clean(_last(folder)) for folder in folders if classes[folder] != folder}
    if inner:
        return classes, (f"{path}: folders within class folders ({some(inner)}) are taken as part of these",), ""
    titles = {(_without_parts(_parent(folder)), title) for folder, title in _titles(folders).items()}
    if len({place for place, _ in titles}) < 2:
        return classes, (), ""
    where, names = some(printable(place) or "." for place in places), some({clean(_last(folder)) for folder in folders})
    are_several = len({title for _, title in titles}) < len(titles)  # unlike in digits/ and letters/
    if of_characters and not are_several:
        return classes, (), ""
    if len(of_characters) == 1:
        return classes, (f"{path}: class folders in several places ({where}) are read as one data set",), ""
    if not are_several:
        return classes, (f"{path}: classes are the innermost folders ({names}), not those around them ({where})",), ""
    what = f"{path}: class folders in several places ({where}): either these are the classes, or the folders in them"
    way_out = f"give one of them, as {path}/{max(places)}, remove one level, or list names and labels in a CSV file"
    return classes, (), f"{what} ({names}); {way_out}"


def _are_characters(names: set[str]) -> bool:
    return len(names) > 1 and all(map(is_character, names))


def _without_parts(place: str) -> str:
    return "/".join(name for name in place.split("/") if not part_of(name))


def _titles(class_folders: set[str]) -> dict[str, str]:
    """Name class folders: lower/A and upper/A, which Windows needs, with their case if there are both."""
    titles = {folder: clean(_last(folder)) for folder in class_folders}
    if len(set(titles.values())) == len(titles):
        return titles
    cased = {folder: "_".join(folder.split("/")[-2:]) for folder in class_folders}
    return {folder: clean(cased[folder]) if has_case(cased[folder]) else title for folder, title in titles.items()}


def _inner_part(path: Path, parents: dict[str, str], split: str | None) -> tuple[dict[str, str], tuple[str, ...]]:
    """Choose images of a part of each class folder, such as A/train, A/test, b/train and b/test."""
    folders = set(parents.values()) - _outer(parents)
    if len({_parent(folder) for folder in folders}) < 2 or not all(part_of(_last(folder)) for folder in folders):
        return parents, ()
    chosen, notes = choose_part(path, sorted(folders), split)
    kept = {name: parent for name, parent in parents.items() if parent in chosen or parent not in folders}
    return {name: _parent(parent) if parent in folders else parent for name, parent in kept.items()}, notes


def _outer_part(
    path: Path, parents: dict[str, str], places: set[str], split: str | None
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Choose images of a part among several places with class folders, such as train/A, train/b, test/A and test/b."""
    if len(places) < 2 or not split:
        return parents, ()
    chosen, notes = choose_part(path, sorted(places), split)
    around = {"", *(folder for place in chosen for folder in _ancestors(place))}  # images there have no label
    kept = {name: parent for name, parent in parents.items() if _parent(parent) in chosen or parent in around}
    return kept, notes


def _are_no_classes(names: set[str], places: int) -> bool:
    lone = places == 1 and len(names) == 1 and not is_character(*names)
    return lone or all(part_of(name) for name in names)


def _nist_part(path: Path, parents: dict[str, str], split: str | None) -> dict[str, str]:
    """Choose images of NIST Special Database 19, by their class folders: hsf_4 is the test part.

    train_4a has copies of the images of all other parts, so it is read only in their place.
    """
    matches = {parent: NIST.fullmatch(parent) for parent in set(parents.values())}
    parts = {parent: match["part"].lower() for parent, match in matches.items() if match}  # all match
    found = set(parts.values())
    copies, test = {part for part in found if part.startswith("train")}, found & {"hsf_4"}
    others = found - copies - test
    if split and not (test if split == "test" else copies | others):
        raise MissingPartError(f"{path}: has no {split} part, but {some(sorted(found))}")
    kept = {"train": copies or others, "test": test}.get(split or "") or (others | test if others else found)
    return {name: _parent(parent) for name, parent in parents.items() if parts[parent] in kept}


def _parent(name: str) -> str:
    return name.rpartition("/")[0]


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _ancestors(name: str) -> Iterator[str]:
    """Yield a name and the folders that enclose it, from the inside."""
    while name:
        yield name
        name = _parent(name)
