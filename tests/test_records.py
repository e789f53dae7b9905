import hashlib
import json
from pathlib import Path

import pytest
from fabricate import run as fabricated

from midas.experiments import Augmentation
from midas.files import parse, plain
from midas.records import Card, EpochRecord, Probe, Result

CARDS = sorted(Path(__file__).parents[1].glob("checkpoints/**/*.json"))


@pytest.mark.parametrize("path", [path for path in CARDS if path.stem.startswith("part") or path.stem == "card"])
def test_the_cards_that_ship_are_complete_and_survive_a_round_trip(path):
    values = json.loads(path.read_text(encoding="utf-8"))
    card = parse(Card, values)
    assert json.loads(json.dumps(plain(card))) == values
    assert card.parameters and card.trained_on
    for name, digest in card.shipped.sha256.items():
        assert hashlib.sha256((path.parent / name).read_bytes()).hexdigest() == digest
    assert {"cross_validation", "test"} & set(card.shipped.evidence)


@pytest.mark.parametrize("change", [{"size": 0}, {"temperature": -1.0}, {"tta_temperature": float("inf")}, {"tta": 0}])
def test_a_card_that_makes_no_sense_is_refused(change):
    with pytest.raises(ValueError, match=f"{next(iter(change))} must be positive"):
        Card(("a", "b"), **change)


def test_a_card_has_the_augmentation_as_a_record():
    card = parse(Card, {"class_names": ["a"], "augmentation": {"elastic": 0.0}})
    assert card.augmentation == Augmentation(elastic=0.0)


def test_probes_are_records_of_their_own():
    record = EpochRecord(1, loss=0.5, probes=(Probe(0, 2.3, 0.1, 0.0),))
    assert parse(EpochRecord, json.loads(json.dumps(plain(record)))) == record


def test_a_result_has_its_scores_and_how_it_was_trained_on_one_level(tmp_path):
    result = fabricated(tmp_path).result
    values = plain(result)
    assert {"accuracy", "top3", "macro_f1", "case_merged_accuracy", "n", "per_class", "epochs", "seed"} <= set(values)
    assert values["per_class"][0]["class"] == "0" and parse(Result, values) == result
