import json
import os
import random
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from midas.errors import MidasError
from midas.learning.backend import choose_gpus, set_seed, start_tensorflow


def run(code: str, **environment: str) -> str:
    env = {key: value for key, value in os.environ.items() if key != "KERAS_BACKEND"}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**env, **environment}
    ).stdout


def test_optional_packages_that_keras_looks_for_are_not_imported_but_can_be_later():
    code = (
        "import sys; from midas.learning.backend import start_tensorflow; start_tensorflow()\n"
        "print([name for name in ('matplotlib', 'pandas', 'sklearn') if name in sys.modules])\n"
        "import sklearn; print('keras' in sys.modules, sklearn.__name__)"
    )
    assert run(code).split("\n")[:2] == ["[]", "True sklearn"]


def test_another_backend_is_refused_whether_set_or_already_in_use():
    check = (
        "import sys, types\n{before}\nfrom midas.errors import MidasError\n"
        "from midas.learning.backend import start_tensorflow\n"
        "try: start_tensorflow()\nexcept MidasError as error: print(error)"
    )
    expected = "midas needs Keras on TensorFlow, not on 'numpy'; set KERAS_BACKEND to 'tensorflow'\n"
    assert run(check.format(before=""), KERAS_BACKEND="numpy") == expected
    in_use = "keras = types.ModuleType('keras'); keras.backend = types.SimpleNamespace(backend=lambda: 'numpy')\n"
    assert run(check.format(before=in_use + "sys.modules['keras'] = keras")) == expected


def test_tensorflow_that_cannot_be_imported_is_one_line_that_says_what_is_tried(tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise ImportError('libx.so:\\nno such file')")
    (tmp_path / "midas").symlink_to(Path(__file__).parents[1] / "midas")
    code = (
        "from midas.errors import MidasError\nfrom midas.learning.backend import start_tensorflow\n"
        "try: start_tensorflow()\nexcept MidasError as error: print(error)"
    )
    line = run(code, PYTHONPATH=str(tmp_path))
    assert line.startswith("TensorFlow cannot be imported (libx.so: no such file); install ") and "3.13" in line


def test_starting_twice_does_no_harm():
    start_tensorflow()
    start_tensorflow()


def test_the_same_seed_gives_the_same_weights_and_random_numbers():
    def draw(seed):
        set_seed(seed)
        return keras.initializers.GlorotUniform()((3, 3)).numpy().tolist(), random.random()

    assert draw(1) == draw(1) != draw(2)


def test_several_devices_train_the_network_that_one_does(tmp_path):
    """Also after an interruption; losses of the whole batch are refused."""
    tests = Path(__file__).parent
    command = [sys.executable, str(tests / "mirrored.py"), str(tmp_path)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert found["baseline"] < 1e-5 and found["resumed"] == 0 and found["epochs before"] == 1
    assert "needs the whole batch on one device" in found["refused"]


def test_devices_are_all_none_or_some_gpus():
    gpus = ["first", "second", "third"]
    assert choose_gpus("all", gpus) == gpus and choose_gpus("cpu", gpus) == [] and choose_gpus("0,2", gpus) == gpus[::2]
    with pytest.raises(MidasError, match="there is no GPU 3; this machine has 3"):
        choose_gpus("0,3", gpus)
    with pytest.raises(MidasError, match="write all, cpu, or the numbers of GPUs"):
        choose_gpus("gpu", gpus)
