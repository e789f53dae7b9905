#!/bin/bash
# The networks that come with midas: judge them by cross-validation, train them on all drawings, make them small.
set -euo pipefail
here=$(dirname "$0")
runs=${MIDAS_RUNS_DIR:-checkpoints}
midas cross-validate --recipe best --all-data --repeats 2 --ensemble 3 --tta 8 --resume
midas train-part1 --recipe best --all-data --ensemble 3 --resume
judged=$runs/cross-validation/part1/placed-best-all-data/seed-0
python "$here/ship.py" "$runs/part1/placed-best-all-data/seed-0" --judged-by "$judged" --out "$here/../checkpoints/part1.keras"
python "$here/ship.py" "$runs/part1/placed-best-all-data" --judged-by "$judged" --out "$here/../checkpoints/part1-ensemble"
