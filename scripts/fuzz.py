"""Give every reader of midas broken and hostile files; each must be read, or refused in one line.

    python scripts/fuzz.py --inputs 20000 --seed 0

Inputs are valid files, damaged: bytes set, parts removed, repeated or zeroed, numbers made huge, two files joined; and
files made to do harm: zip bombs, links and paths that lead outside, pickles, layers that contain code. Readers work in
processes of their own, so that a crash is noticed. Failures are a traceback, more than 10 s of CPU time for one input,
more than 2 GB of memory, or a file outside the folder. Prints a Markdown table; the exit status is 1 after a failure.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from midas.runs import Run

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SLOWEST, LARGEST = 10, 2 * 2**30  # seconds, bytes
BATCH = 1000  # inputs per process
HUGE = (0, 1, 0x7F, 0xFF, 0xFFFF, 2**31 - 1, 2**32 - 1)

Read = Callable[[int], None]  # reads the input of this number


# ---- valid files


def _page() -> np.ndarray:
    page = np.full((45, 60), 255, np.uint8)
    page[10:35, 20:24] = page[31:35, 20:40] = 0
    return page


def _image(suffix: str) -> bytes:
    import cv2

    return bytes(cv2.imencode(suffix, _page())[1].tobytes())


def _pages(format: str) -> bytes:
    from PIL import Image

    file, page = io.BytesIO(), Image.fromarray(_page())
    page.save(file, format, save_all=True, append_images=[page.rotate(90), page.rotate(180)])
    return file.getvalue()


def _npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _idx(array: np.ndarray) -> bytes:
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def _zip(files: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)  # without the time of day
    return file.getvalue()


def _tar(files: Mapping[str, bytes], links: Mapping[str, str] | None = None, kind: bytes = tarfile.SYMTYPE) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
    return file.getvalue()


def _parquet() -> list[bytes]:
    """Write a table of images, if pyarrow is installed; otherwise only its first bytes."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return [b"PAR1"]
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"image": [_image(".png")] * 3, "label": list("abc")}), file)
    return [file.getvalue()]


def data_files() -> dict[str, list[bytes]]:
    """Make valid and hostile data sets, by the name of the file that they are read from."""
    digits = np.arange(6 * 28 * 28).reshape(6, 28, 28).astype(np.uint8)
    labels = np.arange(6).astype(np.uint8)
    tree = {f"{label}/{n}.png": _image(".png") for label in "ab" for n in range(2)}
    bomb = _zip({"a/1.png": bytes(300 * 2**20)})
    out = {"../../out/1.png": _image(".png"), "/out/2.png": _image(".png")}
    objects = _npz(images=digits, labels=np.array([{"a": 1}] * 6, dtype=object))
    pixels = "\n".join(",".join(map(str, [n, *image.ravel()])) for n, image in enumerate(digits)).encode()
    table = {"labels.csv": b"image,label\n" + b"".join(b"Img/%d.png,%d\n" % (n, n) for n in range(3))}
    arrays = {f"{name}.npy": _npy(array) for name, array in (("X", digits), ("y", labels))}
    emnist = {
        "emnist-letters-test-images-idx3-ubyte.gz": gzip.compress(_idx(digits), mtime=0),
        "emnist-letters-test-labels-idx1-ubyte": _idx(labels + np.uint8(1)),
        "emnist-letters-mapping.txt": b"".join(b"%d %d\n" % (n, 64 + n) for n in range(1, 27)),
    }
    images = {f"image{s}": [_image(s)] for s in (".png", ".jpg", ".bmp", ".tif", ".webp", ".jp2", ".pgm")}
    images |= {f"pages.{format}": [_pages(format)] for format in ("png", "tiff", "gif", "webp")}
    return {
        **images,
        "digits.csv": [pixels, b"label," + b",".join(b"pixel%d" % n for n in range(784)) + b"\n" + pixels],
        "table.zip": [_zip(table | {f"Img/{n}.png": _image(".png") for n in range(3)})],
        "arrays.zip": [_zip(arrays), _zip({"in/data.zip": _zip(tree)}), _zip(emnist), _zip({"train.csv": pixels})],
        "set.parquet": _parquet(),
        "data.zip": [_zip(tree), bomb, _zip(out)],
        "data.tar": [
            *(_tar(tree), _tar(out), _tar(tree, links={"a/3.png": "/etc/passwd"})),
            *(_tar(tree, {"b/3.png": target}, tarfile.LNKTYPE) for target in ("a/0.png", "b/3.png", "c")),
        ],
        "data.tar.gz": [gzip.compress(_tar(tree), mtime=0)],
        "data.npz": [_npz(images=digits, labels=labels), objects, _npz(x_train=digits, y_train=labels)],
        "train-images-idx3-ubyte": [_idx(digits), struct.pack(">4B3I", 0, 0, 8, 3, 2**31, 2**31, 2)],
        "train-images-idx3-ubyte.gz": [gzip.compress(_idx(digits), mtime=0)],
    }


def damaged(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """Damage a file in up to four ways."""
    spoiled = bytearray(data)
    for _ in range(rng.integers(0, 5)):
        if not spoiled:
            break
        start = int(rng.integers(len(spoiled)))
        length = int(min(len(spoiled) - start, rng.choice((1, 2, 4, 16, 256))))
        match rng.integers(7):
            case 0:
                spoiled[start] = rng.integers(256)
            case 1:
                del spoiled[start:]
            case 2:
                del spoiled[start : start + length]
            case 3:
                spoiled[start:start] = spoiled[start : start + length] * int(rng.integers(1, 4))
            case 4:
                spoiled[start : start + length] = bytes(length)
            case 5:
                order = rng.choice(("<I", ">I", "<H", ">H"))
                value = int(rng.choice(HUGE)) & (0xFFFFFFFF if order[1] == "I" else 0xFFFF)
                spoiled[start : start + struct.calcsize(order)] = struct.pack(order, value)
            case 6:
                other = others[rng.integers(len(others))]
                spoiled[start:] = other[min(start, len(other)) :]
    return bytes(spoiled)


# ---- readers: each takes a folder to write to and a seed, and returns a function that reads an input by its number


def read_data(folder: Path, seed: int) -> Read:
    """Read data sets and images as preprocess, evaluate and predict do."""
    from midas.data import datasets
    from midas.data.images import UnreadableImage
    from midas.data.sources import open_source

    files = data_files()
    everything = [data for several in files.values() for data in several]
    (folder / "train-labels-idx1-ubyte").write_bytes(_idx(np.arange(6).astype(np.uint8)))

    def one(number: int) -> None:
        rng = np.random.default_rng([seed, number])
        name = list(files)[rng.integers(len(files))]
        path = folder / name
        path.write_bytes(damaged(files[name][rng.integers(len(files[name]))], everything, rng))
        source = open_source(path)
        try:
            if name.startswith(("image", "pages")):
                for entry in source.entries():
                    list(entry.pages())
                    entry.read()
            else:
                datasets.read(source)
        except UnreadableImage as error:
            assert "\n" not in str(error)

    return one


def read_runs(folder: Path, seed: int) -> Read:
    """Read run directories as list, analyze and compare do, and now and then as report does."""
    from midas.report import comparison, page, tables
    from midas.runs import Run, find_runs

    run = Run(folder / "runs" / "part2" / "random" / "seed-0")
    files = run_files(run)

    def one(number: int) -> None:
        rng = np.random.default_rng([seed, number])
        for name, data in files.items():
            (run / name).write_bytes(data)
        name = list(files)[rng.integers(len(files))]
        data = files[name]
        if name.endswith(".json") and rng.random() < 0.7:
            data = json.dumps(_retyped(json.loads(data), rng)).encode()
        else:
            data = damaged(data, list(files.values()), rng)
        (run / name).write_bytes(data)
        tables.results_table([page.run_state(found) for found in find_runs(folder / "runs")])
        if number % 20 == 0:
            page.write_report(list(find_runs(folder / "runs")), folder / "report.html")
        elif number % 2:
            run.predictions()
        else:
            comparison.summarize("part2", {("random", None): [run, run]})

    return one


def run_files(run: Run) -> dict[str, bytes]:
    """Write the experiment of a run of Part 2, and return the contents of its files by name."""
    from midas.files import to_json
    from midas.metrics import classification
    from midas.recipes import PARTS
    from midas.records import Card, Environment, EpochRecord, Result

    run.start(PARTS["part2"])
    n, names = 20, tuple("0123456789")
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(10), n).astype(np.float32)
    labels = rng.integers(0, 10, n)
    scores: dict[str, Any] = vars(classification.score(probabilities, labels, names))
    about: dict[str, Any] = {"part": "part2", "name": "random", "seed": 0, "scored": "mnist-test"}
    result = Result(**about, **scores, epochs=2, best_epoch=2, train_seconds=1.0)
    epochs = [
        EpochRecord(epoch, 1.0, 0.5, 1.0, 0.5, learning_rate=0.001, steps=10 * epoch, epoch_seconds=1.0)
        for epoch in (1, 2)
    ]
    return {
        "experiment.json": (run / "experiment.json").read_bytes(),
        "card.json": to_json(Card(names, size=28, model="compact")).encode(),
        "environment.json": to_json(Environment(midas="0.1.0", argv=("midas",))).encode(),
        "metrics.jsonl": "".join(to_json(record, indent=None) + "\n" for record in epochs).encode(),
        "result.json": to_json(result).encode(),
        "predictions.npz": _npz(
            probabilities=probabilities,
            labels=labels,
            names=np.array([f"{i}.png" for i in range(n)]),
            images=rng.integers(0, 256, (n, 28, 28)).astype(np.uint8),
            embedded=np.arange(n),
            features=rng.normal(size=(n, 4)).astype(np.float16),
        ),
    }


def _retyped(value: Any, rng: np.random.Generator) -> Any:
    """Replace something in JSON by something of another type, or remove it."""
    strange: tuple[Any, ...] = (None, True, -1, 1e308, "", "x" * 50, [], {}, [[1]], {"a": {}}, "\n", 2**70)
    if not isinstance(value, dict | list) or not value or rng.random() < 0.2:
        return strange[rng.integers(len(strange))]
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key: Any = keys[int(rng.integers(len(keys)))]
    changed: Any = dict(value) if isinstance(value, dict) else list(value)
    if isinstance(changed, dict) and rng.random() < 0.2:
        del changed[key]
    else:
        changed[key] = _retyped(value[key], rng)
    return changed


def read_checkpoints(folder: Path, seed: int) -> Read:
    """Load networks as evaluate and predict do, and as resuming does; code that runs would leave a folder."""
    import keras

    from midas.data.glyphs import Glyphs
    from midas.learning import models
    from midas.learning.checkpoints import load_for_training
    from midas.learning.classifier import Classifier

    valid = models.build("original", 14, 3)
    harm = folder.parent / "harm"
    code = keras.Sequential(
        [
            keras.Input((14, 14)),
            keras.layers.Lambda(lambda x, harm=str(harm): __import__("os").mkdir(harm) or x, (14, 14)),
        ]
    )
    files = []
    for number, model in enumerate((valid, code)):
        model.save(folder / f"{number}.keras")
        files.append((folder / f"{number}.keras").read_bytes())
    card = {"class_names": list("abc"), "size": 14, "model": "original"}
    if harm.exists():  # made by building the layer here
        harm.rmdir()

    def one(number: int) -> None:
        rng = np.random.default_rng([seed, number])
        (folder / "net.keras").write_bytes(damaged(files[rng.integers(2)], files, rng))
        changed = _retyped(card, rng) if rng.random() < 0.3 else card
        (folder / "net.json").write_text(json.dumps(changed))
        try:
            network = Classifier.load(folder / "net.keras")
            network.probabilities(Glyphs.without_places(np.zeros((1, network.size, network.size), np.uint8)))
        finally:
            assert not harm.exists(), "code was run"
            if number % 10 == 0:
                try:
                    load_for_training(folder / "net.keras")
                finally:
                    assert not harm.exists(), "code was run"

    return one


READERS: dict[str, Callable[[Path, int], Read]] = {
    "data": read_data,
    "runs": read_runs,
    "checkpoints": read_checkpoints,
}
SHARES = {"data": 0.7, "runs": 0.25, "checkpoints": 0.05}  # of the inputs


# ---- the work


class TooSlow(BaseException):
    """One input took longer than `SLOWEST`; not an `Exception`, so that no reader can catch it."""


def _too_slow(signum: int, frame: FrameType | None) -> None:
    raise TooSlow


def work(reader: str, seed: int, first: int, count: int) -> dict[str, Any]:
    """Give a reader some inputs: how many were read and refused, what failed, the slowest, and the memory used."""
    from midas.errors import MidasError

    signal.signal(signal.SIGPROF, _too_slow)
    found: dict[str, Any] = {"read": 0, "refused": 0, "failures": [], "slowest": 0.0}
    with tempfile.TemporaryDirectory() as outer:
        folder = Path(outer) / "in" / "side"
        folder.mkdir(parents=True)
        one = READERS[reader](folder, seed)
        for number in range(first, first + count):
            print(number, file=sys.stderr, flush=True)  # tells where a process died
            began = time.process_time()
            signal.setitimer(signal.ITIMER_PROF, SLOWEST)
            try:
                one(number)
                found["read"] += 1
            except MidasError as error:
                found["refused"] += 1
                if "\n" in str(error):
                    found["failures"].append(f"{number}: more than one line: {error}")
            except (Exception, TooSlow) as error:
                found["failures"].append(f"{number}: {type(error).__name__}: {str(error)[:200]}")
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
            found["slowest"] = max(found["slowest"], time.process_time() - began)
        strays = [str(path) for path in Path(outer).rglob("*") if folder not in (path, *path.parents)]
        strays = [path for path in strays if path != str(folder.parent)]
        found["failures"] += [f"{first}-{first + count}: a file outside: {path}" for path in strays]
    found["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if found["memory"] > LARGEST:
        found["failures"].append(f"{first}-{first + count}: {found['memory'] / 2**30:.1f} GB of memory")
    return found


def work_apart(reader: str, seed: int, first: int, count: int) -> dict[str, Any]:
    """Run `work` in a process of its own."""
    command = [sys.executable, __file__, "--work", reader, str(first), str(count), "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        numbers = [line for line in done.stderr.splitlines() if line.isdigit()]
        last = numbers[-1] if numbers else "start"
        failure = f"{last}: the process died ({done.returncode}): {done.stderr[-300:]}"
        return {"read": 0, "refused": 0, "failures": [failure], "slowest": 0.0, "memory": 0}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Distribute the inputs, and print the outcome."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=READERS, nargs="*", default=list(READERS))
    parser.add_argument("--work", nargs=3, metavar=("READER", "FIRST", "COUNT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        reader, first, count = options.work
        print(json.dumps(work(reader, options.seed, int(first), int(count))))
        return
    failures = []
    print(
        "| reader | inputs | read | refused in one line | failures | slowest | memory |\n|---|---|---|---|---|---|---|"
    )
    for reader in options.only:
        inputs = round(options.inputs * SHARES[reader])
        batches = [work_apart(reader, options.seed, n, min(BATCH, inputs - n)) for n in range(0, inputs, BATCH)]
        read, refused = (sum(batch[key] for batch in batches) for key in ("read", "refused"))
        wrong = [f"{reader} {failure}" for batch in batches for failure in batch["failures"]]
        slowest, memory = (max(batch[key] for batch in batches) for key in ("slowest", "memory"))
        print(
            f"| {reader} | {inputs:,} | {read:,} | {refused:,} | {len(wrong)} | {slowest:.1f} s | "
            f"{memory / 2**20:.0f} MB |",
            flush=True,
        )
        failures += wrong
    if failures:
        raise SystemExit("\n".join(failures[:50]))


if __name__ == "__main__":
    main()
