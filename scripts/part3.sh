#!/bin/sh
# Part 3: both losses from both starts; the pretrained one is the network of Part 1.
set -e
for loss in given complementary; do
    for init in random pretrained; do
        midas train-part3 --init $init --loss $loss --resume "$@"
        midas analyze --checkpoint "${MIDAS_RUNS_DIR:-checkpoints}"/part3/$init-$loss/seed-0
    done
done
