import dataclasses

import pytest

from midas.errors import MidasError
from midas.recipes import PARTS, named, recipe_of, recipes, teachers, with_recipe


@pytest.mark.parametrize("part", ["part1", "part2", "part3"])
def test_a_recipe_is_found_again_by_its_settings_and_says_so_in_the_name(part):
    usual = PARTS[part]
    for recipe in recipes(part):
        followed = with_recipe(usual, recipe)
        assert recipe_of(followed) == recipe and with_recipe(followed, "plateau") == usual
        assert recipe == "plateau" or recipe in named(followed).name.split("-")


def test_names_tell_experiments_apart():
    part1, part2, part3 = PARTS["part1"], PARTS["part2"], PARTS["part3"]
    changes = [
        part1,
        dataclasses.replace(part1, model="baseline"),
        dataclasses.replace(part1, schedule="cosine"),
        dataclasses.replace(part1, val_fraction=0.0),
        dataclasses.replace(part1, limit=100),
        part2,
        dataclasses.replace(part2, init="pretrained", init_checkpoint="digits"),
        dataclasses.replace(part2, init="pretrained", init_checkpoint="part1"),
        dataclasses.replace(part2, init="pretrained", init_checkpoint="elsewhere/best.keras"),
        part3,
        dataclasses.replace(part3, loss="cross-entropy", rounds=0),
        dataclasses.replace(part3, rounds=0),
        dataclasses.replace(part3, rounds=2),
        with_recipe(part3, "best"),
        dataclasses.replace(part3, init="pretrained", init_checkpoint="part1"),
    ]
    paths = [named(experiment).run_path for experiment in changes]
    assert len(set(paths)) == len(paths)
    assert paths[0] == "part1/compact/seed-0" and "part2/random/seed-0" in paths and "part2/pretrained/seed-0" in paths


@pytest.mark.parametrize("init, checkpoint", [("random", None), ("pretrained", "part1")])
def test_a_round_learns_from_the_run_that_its_settings_name_and_that_holds_out_the_same_images(init, checkpoint):
    usual = named(dataclasses.replace(PARTS["part3"], init=init, init_checkpoint=checkpoint, seed=3))
    best = named(with_recipe(usual, "best"))
    assert best.name == f"{init}-complementary-best" and usual in teachers(best)
    assert {(one.init, one.init_checkpoint) for one in teachers(best)} == {("random", None), ("pretrained", "part1")}
    assert {(one.seed, one.rounds, one.model) for one in teachers(best)} == {(3, 1, "deep")}
    (plain,) = teachers(usual)
    assert teachers(plain) == ()
    rounds = [best, usual, plain]
    assert [one.rounds for one in rounds] == [2, 1, 0]
    (thorough,) = teachers(named(dataclasses.replace(usual, rounds=4)))
    assert [thorough.name, teachers(thorough)[0].name] == [f"{init}-complementary-{rounds}-rounds" for rounds in (3, 2)]
    assert rounds[-1] == named(dataclasses.replace(usual, rounds=0))
    assert {(one.seed, one.val_fraction, one.init, one.init_checkpoint) for one in rounds} == {
        (3, 0.1, init, checkpoint)
    }
    with pytest.raises(MidasError, match="not 'cross-entropy'"):
        dataclasses.replace(usual, loss="cross-entropy")
