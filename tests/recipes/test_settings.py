"""A recipe with other settings, from text and back."""

import pytest

from garm_course.recipes import find, train
from garm_course.recipes.settings import changed, parse_settings, written


def test_a_setting_goes_to_the_model_or_to_the_training_at_every_budget():
    recipe = find("made", "digits")
    other = changed(recipe, {"hidden": [24], "lr": 0.5, "steps": 7})
    assert other.build(0).config["hidden"] == [24]
    for budget in ("quick", "full"):
        assert (other.settings(budget)["lr"], other.settings(budget)["steps"]) == (0.5, 7)
    assert changed(recipe, {}) is recipe
    assert recipe.settings("quick")["lr"] != 0.5


def test_text_and_settings_are_the_same_thing():
    chosen = {"lr": 0.0123456789, "hidden": [64, 32], "encoding": "scaled", "direct": True, "steps": 9}
    assert parse_settings(written(chosen)) == chosen
    assert parse_settings(" ; ") == {}


@pytest.mark.parametrize(
    ("text", "words"), [("lr", "cannot read 'lr'"), ("lr=", "cannot read"), ("lr=1; lr=2", "lr twice")]
)
def test_text_that_is_none_is_told(text, words):
    with pytest.raises(ValueError, match=words):
        parse_settings(text)


@pytest.mark.parametrize("name", ["depth", "shape", "levels"])
def test_a_setting_that_there_is_not_is_told(name):
    with pytest.raises(ValueError, match=f"no setting '{name}'; it knows .*dropout.* lr"):
        changed(find("made", "digits"), {name: 3})


def test_a_run_records_what_was_changed_and_resumes_only_the_same(tmp_path):
    chosen = {"hidden": [16], "lr": 0.03}
    model, result = train(find("made", "digits"), tmp_path / "a", budget="smoke", chosen=chosen)
    assert model.config["hidden"] == result["config"]["hidden"] == [16]
    assert result["training"]["lr"] == 0.03
    assert result["command"].endswith('--seed 0 --set "hidden=[16]; lr=0.03"')
    again = train(find("made", "digits"), tmp_path / "a", budget="smoke", chosen=chosen, resume=True)[1]
    assert again["seconds"] == result["seconds"]
    with pytest.raises(FileExistsError, match="holds another run"):
        train(find("made", "digits"), tmp_path / "a", budget="smoke", resume=True)
