#!/usr/bin/env bash
# Run the tests with the oldest and the newest Python and packages that are allowed, and the Pythons between. Needs uv.
# Takes options of pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
failed=()
trap 'rm -rf "$folder"' EXIT
for each in 3.10:lowest-direct 3.11:highest 3.12:highest 3.13:highest; do
    python=$folder/${each%:*}/bin/python
    uv venv --quiet --python "${each%:*}" "$folder/${each%:*}"
    uv pip install --quiet --python "$python" --resolution "${each#*:}" '.[test]'
    echo "== Python ${each%:*}, ${each#*:}: $("$python" -c '
from importlib.metadata import version
print(*(f"{name} {version(name)}" for name in ("tensorflow", "keras", "numpy", "opencv-python-headless", "click")), sep=", ")')"
    "$python" -m pytest --quiet -n 2 "$@" || failed+=("${each%:*}")
done
[ ${#failed[@]} = 0 ] || { echo "failed with Python ${failed[*]}" >&2; exit 1; }
