"""Data sets as they lie on disk, in any form: opened as one stream of entries, without unpacking anything to disk.

Here is decided which form a path has. `archives` lists folders, zip and tar; the forms are read by `trees` (class
folders), `tables` (images with a table of labels), `idx`, `arrays` (npz, npy), `pixel_tables` (CSV) and `parquet`.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from midas.data import archives, arrays, foreign, idx, parquet, pixel_tables, tables
from midas.data.archives import DAMAGED, TAR_SUFFIXES, File, Tree, file_digest, reason
from midas.data.entries import Source, image_source, text_digest, transposed, with_class_names
from midas.data.images import decode_pages, has_signature
from midas.data.labels import convention, is_character
from midas.data.trees import choose_part, find_images, split_by_name
from midas.errors import MidasError, cannot, printable, some

MAX_INNER = 2**31  # bytes of an archive within an archive
HEAD, SNIFFED = 32, 20  # bytes by which an image is recognized, and files of a tree that are examined
COMPLETE = 0.9  # of the lines of a table that is meant to label images, not to describe them
NOT_CLEAR = "lists images, but it is not clear which column has their labels; to use it, title that column label"
ARCHIVES = re.compile(r"\.(zip|tar|tar\.(gz|bz2|xz)|tgz|tbz2|txz)$", re.IGNORECASE)
SPREADSHEETS = re.compile(r"\.(xlsx?|ods)$", re.IGNORECASE)


def open_source(
    path: str | os.PathLike,
    split: str | None = None,
    class_names: Mapping[str, str] | None = None,
    transpose: bool | None = None,
) -> Source:
    """Open a data set in any of the supported forms, which README.md of this folder lists.

    Args:
        path: a file or folder; also a folder, file or common start of names inside a zip or tar archive.
        split: "train" or "test", for data sets that have both; None takes everything.
        class_names: the class name of each label; None for what the data set says.
        transpose: whether to swap rows and columns of each image; None for what the form says.

    Raises:
        MidasError: it does not exist, has none of these forms, or is not safe to read.
    """
    path = Path(path)
    try:
        source = _open(path, split)
    except OSError as error:
        raise cannot("be read", path, error) from error
    if source.is_transposed if transpose is None else transpose:
        source = transposed(source)
    if source.is_transposed and transpose is None:
        first, *others = source.notes
        source = replace(source, notes=(f"{first}; its images, stored transposed, are turned upright", *others))
    return source if class_names is None else with_class_names(source, class_names)


def source_of_bytes(data: bytes) -> Source:
    """Make a source of an encoded image that comes through stdin, "-" by name.

    Raises:
        MidasError: there are no bytes.

    >>> source_of_bytes(b"")
    Traceback (most recent call last):
    midas.errors.MidasError: -: is empty; pipe an image into it
    """
    if not data:
        raise MidasError("-: is empty; pipe an image into it")
    return image_source("-", partial(decode_pages, data))


def _open(path: Path, split: str | None) -> Source:
    if path.is_dir():
        return _open_tree(archives.open_folder(path), split)
    if not path.exists():
        return _open_inside(path, split)
    if not path.is_file():
        raise MidasError(f"{path}: neither a file nor a folder; pipe an image into '-'")
    if path.suffix.lower() == ".npz":
        return _open_npz(path, split)
    if tree := _open_archive(path, path):
        return _open_tree(tree, split)
    file = File.on_disk(path)
    if _is_image(path.name, file):
        return _open_image(path, file, file_digest(path))
    return _open_file(archives.open_siblings(path), path.name, split)


def _open_inside(path: Path, split: str | None) -> Source:
    """Open a file or folder in an archive, or those files of a folder or archive whose names begin like this."""
    outer = next(each for each in path.parents if each.exists())
    start = path.relative_to(outer).as_posix()
    if outer.is_dir():
        tree = archives.open_siblings(path) if outer == path.parent else None
    else:
        tree = _open_archive(outer, outer)
    if tree and start in tree.files:
        is_archive = ARCHIVES.search(start)
        return _open_inner(tree, [start], None, 0) if is_archive else _open_file(tree, start, split)
    inner = tree.below((f"{start}/", f"{start}-")) if tree else None
    if not inner or not inner.files:
        raise MidasError(f"{path}: no such file or folder; check the name")
    return _open_tree(replace(inner, path=path), split)


def _open_archive(path: Path, file: Path | io.BytesIO) -> Tree | None:
    """Open an archive, recognized by its content or else by its name; None if it is none."""
    on_disk = File.on_disk(file) if isinstance(file, Path) else File(lambda: io.BytesIO(file.getvalue()))
    with on_disk.start() as opened:
        start = opened.read(512)
    unpacked = on_disk.head(foreign.HEAD)
    is_tar = start[257:262] == b"ustar" or unpacked[257:262] == b"ustar"
    if not is_tar and start[:4] in (b"PK\3\4", b"PK\5\6"):
        return archives.open_zip(path, file)
    if not is_tar and path.name.lower().endswith((".zip", *TAR_SUFFIXES)):
        foreign.refuse(path, unpacked)  # renamed, or what a server sent instead
    if not is_tar and path.suffix.lower() == ".zip":
        return archives.open_zip(path, file)
    return archives.open_tar(path, file) if is_tar or path.name.lower().endswith(TAR_SUFFIXES) else None


def _open_tree(tree: Tree, split: str | None, depth: int = 0) -> Source:
    """Open whatever a folder or archive contains."""
    source = idx.open_in(tree, split)
    images = _find_images(tree)
    has_images = bool(images) and not source
    if has_images:
        source = _open_images(tree, images, split)
    inner = [name for name in tree.names if ARCHIVES.search(name)]
    for form in (arrays, parquet, pixel_tables):
        source = source or form.open_in(tree, split)
        if source and inner and not images:
            raise MidasError(f"{tree.path}: contains several data sets ({some(inner)} and others); give one of them")
    if not source:
        source = _open_inner(tree, inner, split, depth)
    folders = {name.rpartition("/")[0] for name in images}  # an archive in one of these is an entry, which says so
    sheets = [name for name in tree.names if has_images and SPREADSHEETS.search(name)]
    others = [name for name in inner if images and name.rpartition("/")[0] not in folders]
    others += _tables_of_images(tree) if has_images else []
    notes = [f"{tree.path}: has images, so other data are left out: {some(others)}"] if others else []
    if images and not has_images:
        notes += [f"{tree.path}: has IDX files, so images are left out: {some(map(printable, images))}"]
    notes += [f"{tree.path}: spreadsheets are left out: {some(sheets)}; save labels as CSV"] if sheets else []
    return replace(source, notes=tuple(dict.fromkeys([*tree.notes, *source.notes, *notes])))


def _tables_of_images(tree: Tree) -> list[str]:
    """Find arrays, Parquet files and, among the first tables, those of pixels."""
    texts = [] if tree.streamed else [name for name in tree.names if pixel_tables.SUFFIXES.search(name)][:SNIFFED]
    found = [name for name in texts if pixel_tables.find_layout(tree.files[name])]
    return [name for name in tree.names if arrays.SUFFIX.search(name) or parquet.SUFFIX.search(name)] + found


def _find_images(tree: Tree) -> list[str]:
    """Find the files that are images by their suffix or, if there are none, may be, provided that some really are."""
    images, unknown = split_by_name(tree.names)
    if images or any(has_signature(tree.files[name].head(HEAD)) for name in unknown[:SNIFFED]):
        return images or unknown
    return [name for name in tree.names if tree.files[name].is_refused]


def _open_images(tree: Tree, images: list[str], split: str | None, table: str | None = None) -> Source:
    """Open images with the labels of a table beside them, or else of their class folders."""
    rows, used, unclear = tables.find_rows(tree, images, table)
    unused = tuple(f"{tree.path}: {name} is left out: it {NOT_CLEAR}" for name in unclear)
    if used:
        found = find_images(tree.path, tree.files, tree.folders, None)
        listed = [row for row in rows if row.image]
        labeled = sum(row.label is not None for row in listed)
        has_most = 2 * labeled >= len(images) and labeled >= COMPLETE * len(listed)
        if table or has_most or not any(found.labels.values()):
            source = tables.open_rows(tree, found, rows, used, split)
            return replace(source, notes=(*source.notes, *unused))
        how_many = f"labels {labeled:,} of {len(images):,} images"
        unused += (f"{tree.path}: labels are those of class folders; {some(used)} {how_many}, and is left out",)
    found = find_images(tree.path, tree.files, tree.folders, split)
    title, class_names = convention(found.class_folders, found.is_nist)
    notes = (*found.notes, *unused)
    if class_names and title and not title.startswith("Sample"):
        name = next(iter(class_names))
        notes += (f"{tree.path}: folders are read as {title}: {name} is {class_names[name]}",)
    labels = dict.fromkeys(name for name in tree.names if tree.files[name].is_refused) | found.labels
    digest = text_digest([tree.digest(labels), *found.class_folders])
    return Source(
        str(tree.path),
        found.class_folders,
        digest,
        partial(tables.tree_entries, tree, labels),
        len(labels),
        notes=notes,
        class_names=class_names,
        unclear=found.unclear,
    )


def _open_inner(tree: Tree, names: list[str], split: str | None, depth: int) -> Source:
    """Open the only archive, or the only one of the split, in a folder or archive that has nothing else."""
    if _are_classes(tree, names):
        return _open_tree(_merge_classes(tree, names), split, depth + 1)
    if names:
        names, notes = choose_part(tree.path, names, split)
    if len(names) > 1 or (names and depth > 1):
        way_out = "unpack the outer archive" if depth else f"give one of them, as {tree.path}/{names[0]}"
        raise MidasError(f"{tree.path}: contains archives ({some(names)}); {way_out}")
    if not names:
        foreign.refuse_tree(tree.path, tree.names)
        what = "contains no images, and no arrays or tables of images" if tree.names else "is empty"
        raise MidasError(f"{tree.path}: {what}; give another folder or file")
    file, path = tree.files[names[0]], tree.path / names[0]
    try:
        with file.start() as opened:
            data = opened.read(MAX_INNER + 1) if not file.path else b""
    except DAMAGED as error:
        raise MidasError(f"{path}: damaged in the archive ({reason(error)}); get it again") from error
    if len(data) > MAX_INNER:
        raise MidasError(f"{path}: too large to be read inside of an archive; unpack the outer archive")
    inner = _open_archive(path, file.path or io.BytesIO(data))
    if inner is None:
        raise MidasError(f"{path}: not an archive; unpack the outer archive")
    return _open_tree(replace(inner, notes=notes), split, depth + 1)


def _are_classes(tree: Tree, names: list[str]) -> bool:
    """Whether archives are one for each class, such as A.zip and B.zip: zip files named by characters in a folder."""
    stems = {name: Path(name).stem for name in names if name.lower().endswith(".zip") and tree.files[name].path}
    return len(set(stems.values())) > 1 and len(stems) == len(names) and all(map(is_character, stems.values()))


def _merge_classes(tree: Tree, names: list[str]) -> Tree:
    """Put the archives of classes together, each as the folder of its class.

    Raises:
        MidasError: one of them is damaged, or not safe to read.
    """
    inner = {name[: -len(".zip")]: archives.open_zip(tree.path / name, tree.path / name) for name in names}

    def digest(files: Collection[str]) -> str:
        chosen = {stem: [name for name in each.files if f"{stem}/{name}" in files] for stem, each in inner.items()}
        return text_digest(part for stem, each in inner.items() for part in (stem, each.digest(chosen[stem])))

    files = {f"{stem}/{name}": file for stem, each in inner.items() for name, file in each.files.items()}
    notes = (*tree.notes, *(note for each in inner.values() for note in each.notes))
    return Tree(tree.path, files, list(inner), digest, notes=notes)


def _open_npz(path: Path, split: str | None) -> Source:
    """Open an .npz file, whose labels may be in another one, as those of KMNIST are."""
    siblings = archives.open_siblings(path)
    pairs = arrays.find_pairs([name.removesuffix(".npz") for name in siblings.names if name.endswith(".npz")])
    if any(pair.images == path.stem and pair.labels for pair in pairs):
        return arrays.open_file(siblings, path.name, split)
    return arrays.open_npz(path, split, digest=file_digest(path))


def _is_image(name: str, file: File) -> bool:
    return bool(split_by_name([name])[0]) or has_signature(file.head(HEAD))


def _open_image(path: Path, file: File, digest: str) -> Source:
    return image_source(str(path), lambda: decode_pages(file.read()), digest)


def _open_file(tree: Tree, name: str, split: str | None) -> Source:
    """Open a file that is no archive, recognized by its content or else by its name.

    Args:
        tree: what lies beside it.
        name: of the file in the tree.
        split: as in `open_source`, for a table and an .npz file; other files are taken whole.
    """
    file, path = tree.files[name], tree.locate(name)
    if _is_image(name, file):
        return _open_image(path, file, tree.digest([name]))
    head = file.head(foreign.HEAD)
    is_idx = len(head) > 3 and head[:2] == b"\0\0" and head[2] in idx.TYPES and 1 <= head[3] <= 4
    if is_idx or idx.NAME.search(name):
        return idx.open_file(tree, name)
    if head.startswith(b"\x93NUMPY") or name.lower().endswith((".npy", ".npz")):
        return arrays.open_file(tree, name, split)
    if head.startswith(b"PAR1") or parquet.SUFFIX.search(name):
        return parquet.open_file(tree, name)
    foreign.refuse(path, head)
    if pixel_tables.find_layout(file):
        return pixel_tables.open_file(tree, name, split)
    what = ""
    if tables.SUFFIXES.search(name):
        beside = archives.open_folder(file.path.parent) if file.path else tree
        images = _find_images(beside)
        table = path.name if file.path else name
        rows, _, unclear = tables.find_rows(beside, images, table)
        if unclear:
            raise MidasError(f"{path}: {NOT_CLEAR}")
        if rows:
            return _open_images(replace(beside, path=path), images, split, table)
        what = ", as it has no square images of pixels and lists no images that lie beside it"
    raise MidasError(
        f"{path}: not a data set{what}; give a zip, a tar, a folder of class folders, an image, or a file of arrays or "
        "a table (.npz, .npy, IDX, CSV, Parquet)"
    )
