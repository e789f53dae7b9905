#!/bin/bash
# Part 3: both losses from both starts; the pretrained one is the network of Part 1. Takes train-part3's options.
set -euo pipefail
for loss in given complementary; do
    for init in random pretrained; do
        run=$(midas train-part3 --init $init --loss $loss --resume "$@" | tee /dev/stderr | tail -n 1)
        midas analyze --checkpoint "$run"
    done
done
