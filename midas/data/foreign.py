"""Files that are no data set midas reads: what they are, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from midas.errors import MidasError

_REPACK = "unpack it and give the folder, or pack it again as zip"
_SAVE = "save its arrays with numpy.savez as .npz, or its images as files in class folders"
_NETWORK = "a network is given as --checkpoint, a .keras file with its card (card.json)"
HEAD = 1024  # bytes by which a file is recognized
# First bytes as a pattern, what it is, and the way out.
CONTENTS = (
    (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript drawing", "export it as PNG"),
    (rb"\s*<(svg|!DOCTYPE svg|(\?xml|!--).{0,900}<svg)", "an SVG drawing", "export it as PNG"),
    (rb"\s*<(!DOCTYPE html|html)", "a web page", "download the file itself"),
    (rb"....ftyp(mp4|isom|iso[2-6]|avc1|qt  |M4V|3gp|MSNV)|\x1aE\xdf\xa3|RIFF....AVI ", "a video", "export its frames"),
    (rb"\xff\n|\0\0\0\x0cJXL ", "a JPEG XL image", "export it as JPEG or PNG"),
    (rb"PK\x03\x04|\x1f\x8b", "an archive", "unpack it"),
    (rb"version https://git-lfs", "a pointer of Git LFS", "run 'git lfs pull'"),
)
# First bytes, suffixes, what it is, and the way out.
FORMATS = (
    (b"7z\xbc\xaf\x27\x1c", r"\.7z", "a 7z archive", _REPACK),
    (b"Rar!\x1a\x07", r"\.rar", "a RAR archive", _REPACK),
    (b"\x28\xb5\x2f\xfd", r"\.t?zst", "compressed with Zstandard", _REPACK),
    (b"\x04\x22\x4d\x18", r"\.lz4", "compressed with LZ4", _REPACK),
    (b"LZIP", r"\.lz", "compressed with lzip", _REPACK),
    (b"\x1f\x9d", r"\.Z", "compressed with compress", _REPACK),
    (b"MSCF", r"\.cab", "a cabinet archive", _REPACK),
    (b"\x89HDF", r"\.(h5|hdf5)", "an HDF5 file", f"{_SAVE}; {_NETWORK}"),
    (b"MATLAB", r"\.mat", "a MATLAB file", _SAVE),
    (b"\x80\x02", r"\.(pkl|pickle|p)", "a pickle, which may contain code", _SAVE),
    (b"\x80\x03", r"\.pt", "a pickle, which may contain code", _SAVE),
    (b"\x80\x04", r"\.pth", "a pickle, which may contain code", _SAVE),
    (b"\x80\x05", r"\.joblib", "a pickle, which may contain code", _SAVE),
    (b"ARROW1", r"\.(arrow|feather)", "an Arrow file", "save it as Parquet, with to_parquet() of the datasets library"),
    (b"SQLite f", r"\.(db|sqlite)", "an SQLite database", "export it as CSV"),
    (b"%PDF", r"\.pdf", "a PDF file", "save its pages as PNG"),
    (b"<svg", r"\.svg", "an SVG drawing", "save it as PNG"),
    (None, r"\.tfrecords?(-\d+-of-\d+)?", "a TFRecord file", _SAVE),
    (None, r"\.(xlsx?|ods)", "a spreadsheet", "save it as CSV"),
)
# Members by which archives and folders that are no data sets are recognized.
MEMBERS = (
    (r"(^|/)saved_model\.pb(txt)?$", f"a TensorFlow SavedModel, not a data set; {_NETWORK}"),
    (r"^(model\.weights\.h5|config\.json)$", f"a Keras model, not a data set; {_NETWORK}"),
    (r"(^|/)data\.pkl$", f"a PyTorch file, not a data set; {_SAVE}"),
    (r"^\[Content_Types\]\.xml$", "an office document, not a data set; save it as CSV"),
)


def describe(path: Path, head: bytes) -> tuple[str, str] | None:
    """Recognize a file by its first bytes or its name: what it is and the way out; None if it is unknown."""
    for pattern, what, way_out in CONTENTS:
        if re.match(pattern, head, re.DOTALL | re.IGNORECASE):
            return what, way_out
    for magic, _suffix, what, way_out in FORMATS:
        if magic and head.startswith(magic):
            return what, way_out
    return next((each[2:] for each in FORMATS if re.search(rf"{each[1]}$", path.name, re.IGNORECASE)), None)


def refuse(path: Path, head: bytes) -> None:
    """Refuse a file that is known to be something else.

    Raises:
        MidasError: it is.
    """
    if found := describe(path, head):
        raise MidasError(f"{path}: {found[0]}, which midas does not read; {found[1]}")


def refuse_tree(path: Path, names: Collection[str]) -> None:
    """Refuse an archive or folder without images or arrays that is known to be something else.

    Raises:
        MidasError: it is, or all its files are.
    """
    for pattern, what in MEMBERS:
        if any(re.search(pattern, name) for name in names):
            raise MidasError(f"{path}: {what}")
    for name in sorted(names):
        if found := describe(Path(name), b""):
            raise MidasError(f"{path}: contains no images, but {name}, {found[0]}; {found[1]}")
