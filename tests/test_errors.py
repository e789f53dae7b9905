import errno

import pytest

from midas.errors import MidasError, cannot, printable


@pytest.mark.parametrize(
    "number, remedy", [(errno.ENOSPC, "free some space"), (errno.EACCES, "permissions"), (0, "disk")]
)
def test_an_operating_system_error_is_one_line_with_a_remedy(number, remedy):
    error = cannot("be written", "a/b.png", OSError(number, "it failed"))
    assert isinstance(error, MidasError) and "\n" not in str(error)
    assert str(error).startswith("a/b.png: cannot be written: it failed; ") and remedy in str(error)


def test_names_of_files_stay_on_one_line():
    assert printable("é a") == "é a"
    assert printable("a\nb\udcff") == r"a\nb\udcff"
