import datetime
import re
import sys

from midas.learning import models, provenance


def test_the_environment_names_versions_machine_command_and_digests():
    found = provenance.environment("data", "weights")
    assert (found.data_digest, found.init_digest) == ("data", "weights")
    assert found.python == ".".join(map(str, sys.version_info[:3])) and found.argv == tuple(sys.argv)
    assert found.device in ("CPU", "GPU") and found.cores >= 1
    assert all((found.midas, found.tensorflow, found.keras, found.numpy, found.opencv, found.platform))
    assert found.finished_utc is None
    assert found.revision is None or re.fullmatch(r"[0-9a-f]{7,40}(-dirty)?", found.revision)


def test_a_gpu_that_is_not_used_is_not_the_device(monkeypatch):
    monkeypatch.setattr(provenance.tf.config, "list_physical_devices", lambda kind: [kind])
    monkeypatch.setattr(provenance.tf.config, "get_visible_devices", lambda kind: [])
    assert provenance.environment("data").device == "CPU"


def test_the_time_is_utc_to_the_second():
    now = datetime.datetime.fromisoformat(provenance.now())
    assert now.utcoffset() == datetime.timedelta(0) and now.microsecond == 0


def test_a_digest_identifies_weights_and_depends_on_all_networks():
    one, two = models.build("fast", 28, 2), models.build("fast", 28, 2)
    digest = provenance.weights_digest([one])
    assert re.fullmatch("[0-9a-f]{16}", digest) and digest == provenance.weights_digest((one,))
    assert len({digest, provenance.weights_digest([two]), provenance.weights_digest([one, two])}) == 3
    models.copy_weights(one, two, head=True)
    assert provenance.weights_digest([two]) == digest
