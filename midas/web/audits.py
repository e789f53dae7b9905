"""Label audits as galleries: what an audit suspects, and what a person decided about each suspect.

Decisions are written at once, beside the audit, as a list that `midas audit-labels --apply` takes. The data set itself
is never changed.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from midas.data.corrections import DECISIONS, RELABEL, Correction, read_corrections
from midas.data.datasets import open_any
from midas.data.images import to_png
from midas.errors import MidasError
from midas.files import read_json, write_csv
from midas.report.plot_images import thumbnail

MAX_TILES = 300
COLUMNS = ("file", "label", "suggested", "decision")


@dataclass(eq=False)
class Audit:
    """The audit of one data set.

    Attributes:
        data: path of the data set.
        folder: where the audit was written.
        tiles: small pictures of the suspects by their names, filled when they are first looked at.
        kept: audit.json, and when it was changed.
        turn: held while the pictures are made.
    """

    data: str
    folder: Path
    tiles: dict[str, bytes] = field(default_factory=dict)
    kept: tuple[int, Any] = (0, None)
    turn: threading.Lock = field(default_factory=threading.Lock)

    @property
    def exists(self) -> bool:
        """Whether the data set was audited."""
        return (self.folder / "audit.json").exists()

    def gallery(self) -> dict[str, Any]:
        """Describe the suspects, the likeliest first, and the decisions.

        Raises:
            MidasError: there is no audit, or it is damaged.
        """
        found, decisions = self._audit(), self.decisions()
        try:
            listed = [{**each, **_decided(decisions.get(each["file"]))} for each in found["suspects"]]
            summary = {key: found[key] for key in ("action", "sentence", "class_names", "images")}
        except (LookupError, TypeError) as error:
            raise MidasError(f"{self.folder / 'audit.json'}: damaged; audit the labels again") from error
        return {**summary, "version": str(self.kept[0]), "total": len(listed), "suspects": listed[:MAX_TILES]}

    @property
    def decisions_file(self) -> Path:
        """The list of decisions."""
        return self.folder / "decisions.csv"

    def decisions(self) -> dict[str, Correction]:
        """Read what was decided, by the names of the images."""
        listed = read_corrections(self.decisions_file) if self.decisions_file.exists() else []
        return {each.file: each for each in listed}

    def _audit(self) -> Any:
        """Read audit.json, once as long as it does not change."""
        file = self.folder / "audit.json"
        changed = file.stat().st_mtime_ns if file.exists() else 0
        if self.kept[0] != changed or not changed:
            self.kept = changed, read_json(file)
            self.tiles.clear()  # the images may have changed, too
        return self.kept[1]

    def decide(self, index: int, action: str, label: str | None, version: str | None = None) -> dict[str, Any]:
        """Write what was decided about a suspect; "" takes a decision back.

        Raises:
            MidasError: there is no such suspect, action or class, or the version of the audit is another one.
        """
        gallery = self.gallery()
        if version not in (None, gallery["version"]):
            raise MidasError("the labels were audited again meanwhile; reload the page")
        suspect = _suspect(gallery, index)
        if action not in (*DECISIONS, ""):
            raise MidasError(f"decide for one of {', '.join(DECISIONS)}")
        if action == RELABEL and label not in gallery["class_names"]:
            raise MidasError("the label is not a class of these data")
        decisions = self.decisions()
        decisions.pop(suspect["file"], None)
        if action:
            chosen = str(label) if action == RELABEL else suspect["looks_like"]
            decisions[suspect["file"]] = Correction(suspect["file"], suspect["label"], action, chosen)
        rows = ((each.file, each.label, each.suggested, each.decision) for each in decisions.values())
        write_csv(self.decisions_file, [COLUMNS, *rows])
        return {**suspect, **_decided(decisions.get(suspect["file"]))}

    def tile(self, index: int) -> bytes:
        """Give the small picture of a suspect, as PNG.

        Raises:
            MidasError: there is no such suspect, or its image is gone.
        """
        gallery = self.gallery()
        name = _suspect(gallery, index)["file"]
        with self.turn:
            if name not in self.tiles:
                self._fill({each["file"] for each in gallery["suspects"]})
        if name not in self.tiles:
            raise MidasError(f"{name}: is not in the data any more")
        return self.tiles[name]

    def _fill(self, names: set[str]) -> None:
        entries = {name.partition("[")[0] for name in names} | names
        for entry in open_any(self.data, "train").entries():
            if entry.name in entries:
                for name, page in entry.pages():
                    if isinstance(page, np.ndarray):
                        self.tiles[name] = to_png(thumbnail(page))


def _suspect(gallery: dict[str, Any], index: int) -> dict[str, Any]:
    if not 0 <= index < len(gallery["suspects"]):
        raise MidasError("no such image in this audit")
    return gallery["suspects"][index]


def _decided(decision: Correction | None) -> dict[str, Any]:
    """Describe a decision for the page."""
    if not decision:
        return {"decision": None}
    return {"decision": {"action": decision.decision, "label": decision.suggested}}
