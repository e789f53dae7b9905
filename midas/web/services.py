"""What the server works with: its settings, and the state that all requests share."""

from __future__ import annotations

import re
import secrets
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from midas.data.datasets import open_any
from midas.data.entries import text_digest
from midas.errors import MidasError
from midas.web.audits import Audit
from midas.web.collection import Collections
from midas.web.guard import Guard, Limits, is_loopback
from midas.web.jobs import Jobs
from midas.web.networks import Networks


@dataclass(frozen=True)
class Settings:
    """What to serve.

    Attributes:
        checkpoints: networks of the command line; the first is the default.
        collections: folder of the collections.
        data: other data sets, whose labels can be checked.
        runs_dir: root of the run directories.
        host: to listen on; beyond this machine a token is needed.
        limits: of requests.
        token: that requests must have; "" makes one where it is needed.
    """

    checkpoints: tuple[str, ...] = ()
    collections: Path = Path("collections")
    data: tuple[str, ...] = ()
    runs_dir: Path = Path("checkpoints")
    host: str = "127.0.0.1"
    limits: Limits = field(default_factory=Limits)
    token: str = ""


@dataclass(eq=False)
class Services:
    """What the routes work with.

    Attributes:
        settings: what to serve.
        networks: that can be asked.
        collections: of drawings.
        jobs: the training or audit that runs.
        guard: of all requests.
        audits: by the path of the data set.
        turn: held while a decision is written.
    """

    settings: Settings
    networks: Networks
    collections: Collections
    jobs: Jobs
    guard: Guard
    audits: dict[str, Audit] = field(default_factory=dict)
    turn: threading.Lock = field(default_factory=threading.Lock)

    def data_sets(self) -> dict[str, str]:
        """List what can be trained on and checked: paths by what the page calls them."""
        found = {each.name: str(each.folder) for each in self.collections}
        return found | {path: path for path in self.settings.data}

    def data_set(self, key: Any) -> str:
        """Find the path of a data set.

        Raises:
            MidasError: there is none of this name.
        """
        paths = self.data_sets()
        if not isinstance(key, str) or key not in paths:
            raise MidasError(f"no data set {str(key)[:80]!r}")
        return paths[key]

    def audit(self, key: Any) -> Audit:
        """Find the audit of a data set, made or not.

        Raises:
            MidasError: there is no such data set.
        """
        path = self.data_set(key)
        words = re.sub(r"[^\w]+", "-", Path(key).stem).strip("-")[:40]
        name = f"{words}-{text_digest([str(Path(path).resolve())])[:8]}"  # no two data sets share a folder
        return self.audits.setdefault(path, Audit(path, self.settings.runs_dir / "audits" / name))

    @classmethod
    def of(cls, settings: Settings) -> Services:
        """Set up what the settings ask for.

        Raises:
            MidasError: a data set of the settings cannot be opened.
        """
        for path in settings.data:
            open_any(path, "train")
        token = None if is_loopback(settings.host) else settings.token or secrets.token_urlsafe(24)
        return cls(
            settings,
            Networks(settings.checkpoints, settings.runs_dir),
            Collections(settings.collections),
            Jobs(settings.runs_dir / ".serve"),
            Guard(settings.host, token, settings.limits),
        )
