import pytest
from test_classifier import write_network

from midas.errors import MidasError
from midas.learning.checkpoints import (
    SHIPPED,
    card_file,
    checkpoint_files,
    find_checkpoint,
    load_network,
    shipped_checkpoint,
)


def test_a_folder_without_networks_is_refused(tmp_path):
    with pytest.raises(MidasError, match="no such checkpoint"):
        checkpoint_files(tmp_path)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_network_loads(name):
    files = checkpoint_files(shipped_checkpoint(name))
    assert len(files) == (2 if name == "part3-best" else 1)
    for file in files:
        network, card = load_network(file)
        assert network.output_shape == (None, len(card.class_names)) and card.shipped.sha256


def test_a_path_wins_over_a_name_and_the_default_is_part_1(tmp_path, monkeypatch):
    assert find_checkpoint() == shipped_checkpoint("part1")
    assert find_checkpoint("part3-best").is_dir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "part3-best").mkdir()
    assert find_checkpoint("part3-best").absolute() == tmp_path / "part3-best"
    with pytest.raises(MidasError, match=r"nowhere: no such checkpoint.*part2-best"):
        find_checkpoint("nowhere")


def test_a_saved_model_is_named(tmp_path):
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(MidasError, match=r"a TensorFlow SavedModel; .* that midas trained, with its card"):
        checkpoint_files(tmp_path)


def test_only_keras_files_are_checkpoints(tmp_path):
    (tmp_path / "net.h5").write_bytes(b"")
    with pytest.raises(MidasError, match=r"an HDF5 file, as older Keras wrote them; give a run directory"):
        checkpoint_files(tmp_path / "net.h5")
    with pytest.raises(MidasError, match="no such checkpoint"):
        checkpoint_files(tmp_path / "none.keras")


def test_a_missing_card_and_an_unknown_model_are_named(tmp_path):
    write_network(tmp_path / "run", 0)
    file, card = tmp_path / "run" / "last.keras", tmp_path / "run" / "card.json"
    assert card_file(file) == card
    card.write_text(card.read_text().replace("compact", "perceptron"))
    with pytest.raises(MidasError, match=r"card\.json: unknown model 'perceptron'"):
        load_network(file)
    card.unlink()
    with pytest.raises(MidasError, match=r"its card is missing \(card\.json or last\.json beside it\)"):
        load_network(file)
