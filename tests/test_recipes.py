import dataclasses

import pytest

from midas.recipes import PARTS, named, recipe_of, recipes, with_recipe


@pytest.mark.parametrize("part", ["part1", "part2", "part3"])
def test_a_recipe_is_found_again_by_its_settings_and_says_so_in_the_name(part):
    usual, (default, *others) = PARTS[part], recipes(part)
    assert recipe_of(usual) == default == usual.schedule and default not in named(usual).name
    for recipe in others:
        followed = with_recipe(usual, recipe)
        assert recipe_of(followed) == recipe and with_recipe(followed, default) == usual
        assert recipe in named(followed).name.split("-")


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
        dataclasses.replace(part3, loss="cross-entropy"),
        dataclasses.replace(part3, loss="complementary"),
        with_recipe(part2, "best"),
        dataclasses.replace(part3, model="deeper"),
        dataclasses.replace(part3, init="pretrained", init_checkpoint="part1"),
    ]
    paths = [named(experiment).run_path for experiment in changes]
    assert len(set(paths)) == len(paths)
    assert paths[0] == "part1/compact/seed-0" and "part2/random/seed-0" in paths and "part2/pretrained/seed-0" in paths
