"""Corrected labels: a list of them, and the corrected copy of a data set that it makes.

A list is a CSV file with these columns, as `midas audit-labels --out` writes it (labels.csv); others are ignored.

file        the image, as the data set names it
label       its label in the data set
suggested   another label; edit it to give a third
decision    relabel (give it the suggested label), keep (leave it as it is) or drop (leave the image out)

Without the column `decision`, or where that is empty, an image is relabeled. Images that are not listed are kept.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from midas.data.entries import Entry, Source
from midas.data.export import file_stems, folder_names, safe_name
from midas.data.images import to_png
from midas.data.labels import name_classes
from midas.data.levels import UnreadableImage
from midas.data.reading import Progress
from midas.errors import MidasError, cannot
from midas.files import atomic_directory, refuse_nonempty, writing
from midas.records import Skipped

RELABEL, KEEP, DROP = DECISIONS = ("relabel", "keep", "drop")
PAGE = re.compile(r"\[\d+\]$")


@dataclass(frozen=True)
class Correction:
    """What to do with one image.

    Attributes:
        file: its name in the data set.
        label: its label there.
        decision: one of `DECISIONS`.
        suggested: the label to give it.
    """

    file: str
    label: str
    decision: str = RELABEL
    suggested: str = ""

    @property
    def result(self) -> str | None:
        """The corrected label; None if the image is left out."""
        return {RELABEL: self.suggested, KEEP: self.label, DROP: None}[self.decision]


@dataclass(frozen=True)
class Corrected:
    """What a corrected copy holds.

    Attributes:
        path: the folder.
        images: files written.
        relabeled, kept, dropped: images of the list by decision.
        unreadable: images that could not be copied, and why.
        without_label: images of the data set that have no label, and are not in the copy.
        folders: folder of each class.
    """

    path: str
    images: int
    relabeled: int
    kept: int
    dropped: int
    unreadable: tuple[Skipped, ...]
    without_label: int
    folders: dict[str, str]


def read_corrections(path: Path) -> list[Correction]:
    """Read a list of corrected labels.

    Raises:
        MidasError: it cannot be read, lacks a column or a label, or has an unknown decision.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), set(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise (
            cannot("be read", path, error)
            if isinstance(error, OSError)
            else MidasError(f"{path}: not a list of labels ({error}); give the labels.csv of midas audit-labels")
        ) from error
    if missing := {"file", "label", "suggested"} - columns:
        raise MidasError(f"{path}: has no column {min(missing)}; give the labels.csv of midas audit-labels")
    found = []
    for line, row in enumerate(rows, 2):
        decision = (row.get("decision") or RELABEL).strip().lower()
        if decision not in DECISIONS:
            raise MidasError(f"{path}: line {line}: no decision {decision!r}; there are {', '.join(DECISIONS)}")
        suggested = (row["suggested"] or "").strip()
        if decision == RELABEL and not suggested:
            raise MidasError(f"{path}: line {line}: no suggested label; give one, or decide {KEEP} or {DROP}")
        found.append(Correction(row["file"] or "", (row["label"] or "").strip(), decision, suggested))
    return found


def apply_corrections(
    source: Source,
    corrections: Iterable[Correction],
    out: Path,
    test: Source | None = None,
    progress: Progress = lambda done, total: None,
) -> Corrected:
    """Write a corrected copy of a data set: class folders with the files as they are, or PNG files of what has none.

    Of a file with several pages that do not all keep one label, each page becomes a PNG file. The folder appears, or
    is filled, when the copy is complete.

    Args:
        source: the data set, or its training part.
        corrections: what to do with its images; those that are not listed are kept.
        out: the folder, empty or new and not within the data set.
        test: its test part, which is copied unchanged; the parts then lie in out/train and out/test.
        progress: called with (done, total) images.

    Raises:
        MidasError: the list does not fit the data set, or the folder is not empty, lies within the data set or cannot
            be written.
    """
    refuse_nonempty(out)
    if Path(source.path).resolve() in (out.resolve(), *out.resolve().parents):
        raise MidasError(f"{out}: lies within the data set, which stays as it is; choose another --out")
    listed = list(corrections)
    parts = [_plan(source, listed, "train" if test else "")] + ([_plan(test, [], "test")] if test else [])
    total, done, unreadable = sum(len(part.outputs) for part in parts), 0, []
    with atomic_directory(out) as temporary, writing(out):
        ignores_case = temporary.with_name(temporary.name.upper()).exists()
        folders = _folders(parts, ignores_case)
        for part in parts:
            for name, content in _contents(part, folders):
                done += 1
                progress(done, total)
                if isinstance(content, UnreadableImage):
                    unreadable.append(Skipped(name, str(content)))
                    continue
                path = temporary / part.folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    decisions = Counter(each.decision for each in listed)
    return Corrected(
        path=str(out),
        images=total - len(unreadable),
        relabeled=decisions[RELABEL],
        kept=decisions[KEEP],
        dropped=decisions[DROP],
        unreadable=tuple(unreadable),
        without_label=sum(part.without_label for part in parts),
        folders=folders,
    )


# ---- what is written where


@dataclass(frozen=True)
class Output:
    """A file to write: the image, or page of it, at an index of the data set; and its label."""

    index: int
    name: str
    page: str | None
    label: str


@dataclass(frozen=True)
class Part:
    """A data set, the class that each of its labels stands for, the files to write of it, and below which folder."""

    source: Source
    labels: dict[str, str]
    outputs: list[Output]
    folder: str
    without_label: int


def _plan(source: Source, listed: Sequence[Correction], folder: str) -> Part:
    """Decide which files to write of a data set.

    Raises:
        MidasError: an image of the list is not in it, is there twice, or has another label.
    """
    entries = [(entry.name, entry.label) for entry in source.entries()]
    given = [label for _, label in entries if label is not None]
    class_names, indices = name_classes(given, source.class_names)
    labels = dict(zip(given, (class_names[index] for index in indices), strict=True))
    by_file = {each.file: each for each in listed}
    if len(by_file) < len(listed):
        twice = next(name for name, count in Counter(each.file for each in listed).items() if count > 1)
        raise MidasError(f"{twice}: is in the list twice; leave one of the lines out")
    pages: dict[str, list[Correction]] = {}
    known = {name for name, _ in entries}
    for each in listed:
        if each.file not in known and (name := PAGE.sub("", each.file)) in known:
            pages.setdefault(name, []).append(each)
        elif each.file not in known:
            raise MidasError(f"{source.path}: has no image {each.file!r}; give the list of this data set")
    outputs = []
    for index, (name, raw) in enumerate(entries):
        if raw is None:
            continue
        label = labels[raw]
        for each in (*pages.get(name, ()), *([by_file[name]] if name in by_file else ())):
            if each.label != label:
                raise MidasError(
                    f"{source.path}: {each.file} has the label {label!r}, not {each.label!r} as in the list; give the "
                    "list of this data set"
                )
        if any(each.result != label for each in pages.get(name, ())):
            outputs += _pages(source, index, name, label, by_file)
        elif (result := by_file[name].result if name in by_file else label) is not None:
            outputs.append(Output(index, name, None, result))
    return Part(source, labels, outputs, folder, len(entries) - len(given))


def _folders(parts: Sequence[Part], ignores_case: bool) -> dict[str, str]:
    """Name the folder of each class: as in the data set, or else after the class."""
    labels = {output.label for part in parts for output in part.outputs}
    class_names, _ = name_classes(list(labels), {name: name for name in labels})
    given = {part.labels[raw]: raw for part in parts for raw in sorted(part.labels) if part.source.class_folders}
    is_plain = bool(given) and all(name == raw for name, raw in given.items())  # so that new classes fit in
    names = [given.get(name, name if is_plain else "") for name in class_names]
    distinct = {name.casefold() if ignores_case else name for name in names}
    if len(distinct) < len(names) or any(name != safe_name(name) for name in names):
        names = folder_names(class_names)
    return dict(zip(class_names, names, strict=True))


def _pages(source: Source, index: int, name: str, label: str, by_file: Mapping[str, Correction]) -> list[Output]:
    """List the pages of an image of which some get another label than others."""
    entry = next(itertools.islice(source.entries(), index, None))
    results = [(page, by_file[page].result if page in by_file else label) for page, _ in entry.pages()]
    return [Output(index, name, page, result) for page, result in results if result is not None]


def _contents(part: Part, folders: Mapping[str, str]) -> Iterator[tuple[str, bytes | UnreadableImage]]:
    """Yield each file to write, with its content or why it cannot be read."""
    stems: dict[Output, str] = {}
    for label in folders:
        members = [output for output in part.outputs if output.label == label]
        stems |= zip(members, file_stems([output.page or output.name for output in members]), strict=True)
    by_index: dict[int, list[Output]] = {}
    for output in part.outputs:
        by_index.setdefault(output.index, []).append(output)
    for index, entry in enumerate(part.source.entries()):
        for output in by_index.get(index, ()):
            suffix, content = _content(entry, output.page)
            yield f"{folders[output.label]}/{stems[output]}{suffix}", content


def _content(entry: Entry, page: str | None) -> tuple[str, bytes | UnreadableImage]:
    """Give the suffix and the bytes of a file: those of the image as they are, or of a PNG."""
    try:
        if page is None and entry.read_file:
            return Path(entry.name).suffix, entry.read_file()
        image = entry.read() if page is None else dict(entry.pages())[page]
    except UnreadableImage as error:
        return ".png", error
    return ".png", image if isinstance(image, UnreadableImage) else to_png(image)
