#!/bin/bash
# The network that ships as part1: evaluate it by cross-validation, train it on all drawings, make it small.
set -euo pipefail
here=$(dirname "$0")
runs=${MIDAS_RUNS_DIR:-checkpoints}
midas cross-validate --recipe best --all-data --repeats 2 --tta 8 --resume
midas train-part1 --recipe best --all-data --resume
python "$here/ship.py" "$runs/part1/placed-best-36px-all-data/seed-0" --out "$here/../checkpoints/part1.keras" \
    --cross-validation "$runs/cross-validation/part1/placed-best-36px-all-data/seed-0"
