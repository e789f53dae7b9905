"""Of what kind the entries of a run's records are, so that a damaged record is refused where it is read."""

NUMBER = (int, float)
PAIR = (NUMBER, NUMBER)
_SCORES = [{"class": str, "n": int, "precision": NUMBER, "recall": NUMBER, "f1": NUMBER}]
_HELD_OUT = {"val_loss": NUMBER, "val_accuracy": NUMBER, "seconds": NUMBER}
# By file, then by entry: a type, several, the kinds of a dict's entries, that of a list's items, or a pair's. What is
# absent or null will do, but for what is `REQUIRED`.
KINDS = {
    "card.json": {
        **{"class_names": [str], "size": int, "model": str, "part": str, "name": str, "data": str, "data_digest": str},
        **{"parameters": int, "multiply_adds": int, "sample": bool, "trained_on": [str], "augmentation": {}},
    },
    "environment.json": {"argv": [str], "data_digest": str, "processor": str, "midas": str, "tensorflow": str},
    "metrics.jsonl": {
        **{"epoch": int, "steps": int, "learning_rate": NUMBER, "epoch_seconds": NUMBER, **_HELD_OUT},
        **{"loss": NUMBER, "accuracy": NUMBER, "probes": [{"step": int, **_HELD_OUT}]},
    },
    "data.json": {
        "data": {
            **{"images": int, "classes": int, "smallest_class": int, "largest_class": int, "mean_ink": NUMBER},
            **{"images_per_class": {}, "page_sizes": {}, "skipped": [{}], "digest": str},
        },
    },
    "result.json": {
        **{"part": str, "name": str, "seed": int, "scored": str, "n": int, "epochs": int, "best_epoch": int},
        **{"accuracy": NUMBER, "macro_f1": NUMBER, "log_loss": NUMBER, "calibration_error": NUMBER, "top3": NUMBER},
        **{"accuracy_interval": PAIR, "case_merged_accuracy": NUMBER, "per_class": _SCORES, "limit": int},
        **{"zero_shot_accuracy": NUMBER, "zero_shot_macro_f1": NUMBER, "zero_shot_per_class": _SCORES},
        **{"argmin_accuracy": NUMBER, "train_seconds": NUMBER, "best_val_loss": NUMBER, "best_val_accuracy": NUMBER},
        "estimate": {"accuracy": NUMBER, "adjusted_accuracy": NUMBER, "interval": PAIR, "adjusted_interval": PAIR},
        "filed": [[int]],
    },
}
REQUIRED = {"card.json": ("class_names",), "metrics.jsonl": ("epoch",)}


def damage(name: str, record) -> str | None:
    """Say what is wrong with what a file of a run holds, or None.

    >>> damage("card.json", {"class_names": ["a", 3]})
    "class_names cannot be ['a', 3]"
    >>> damage("environment.json", {}) is None
    True
    """
    if not isinstance(record, dict):
        return f"not a record of a run, but {repr(record)[:50]}"
    for key, kind in KINDS[name].items():
        value = record.get(key)
        if not fits(value, kind) or (value is None and key in REQUIRED.get(name, ())):
            return f"{key} cannot be {repr(value)[:50]}"
    return None


def fits(value, kind) -> bool:
    """Whether a value read from JSON is of a kind of `KINDS`.

    >>> fits({"n": 3}, {"n": int}), fits({"n": None}, {"n": int}), fits({"n": [3]}, {"n": int}), fits([1, "2"], [int])
    (True, True, False, False)
    """
    if value is None:
        return True
    if isinstance(kind, dict):
        return isinstance(value, dict) and all(fits(value.get(key), inner) for key, inner in kind.items())
    if isinstance(kind, list):
        return isinstance(value, list) and all(item is not None and fits(item, *kind) for item in value)
    if kind is PAIR:
        return isinstance(value, list) and len(value) == 2 and fits(value, [NUMBER])
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
