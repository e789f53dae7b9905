import pytest
from tiny import write_drawings

from midas.errors import MidasError
from midas.web.services import Services, Settings


def test_data_sets_are_the_collections_and_those_of_the_settings(tmp_path):
    data = str(write_drawings(tmp_path, "01", 2))
    services = Services.of(Settings(collections=tmp_path / "c", runs_dir=tmp_path / "runs", data=(data,)))
    services.collections.create("mine", ["A", "B"], 1)
    assert services.data_sets() == {"mine": str(tmp_path / "c" / "mine"), data: data}
    services.collections.create("mine 2", ["A", "B"], 1)
    services.collections.create("mine-2", ["A", "B"], 1)
    folders = {services.audit(key).folder for key in ("mine", "mine 2", "mine-2", data)}
    assert len(folders) == 4 and {folder.parent for folder in folders} == {tmp_path / "runs" / "audits"}
    assert services.audit(data) is services.audit(data)
    for unknown in ("none", "/etc", None, 3, ["mine"]):
        with pytest.raises(MidasError, match="no data set"):
            services.data_set(unknown)


def test_a_token_is_made_only_where_it_is_needed(tmp_path):
    assert Services.of(Settings(runs_dir=tmp_path)).guard.token is None
    one, two = (Services.of(Settings(runs_dir=tmp_path, host="0.0.0.0")).guard.token for _ in range(2))
    assert one != two and len(one) >= 32
