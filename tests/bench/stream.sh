#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# How fast a VM's state goes to and from a vault on a LUN, compared with bare
# libiscsi commands of the same size on the same LUN in the same run, and with
# what QEMU itself can save into a pipe that is read to nowhere.
#
#   stream.sh [MIB [ROUNDS]]      prints a table, and JSON as its last line
#
# The backing store is in memory and the target is on this machine, so that it
# is our path that is measured.  Rounds alternate; medians count.

# shellcheck source-path=SCRIPTDIR source=../functional/functions.sh
. "${QM_SRC:=$(cd "$(dirname "$0")/../.." && pwd)}/tests/functional/functions.sh" || exit 1
MIB=${1:-512}
ROUNDS=${2:-5}
IQN=iqn.2026-01.org.example:bench
STREAM=$QM_BUILD/tests/bench/stream
BARE=$QM_BUILD/tests/bench/bare-stream
DEPTH=6 # as QM_IMAGE_DEPTH in src/lib/image.h

requires jq tgtd
requires_built tests/bench/stream tests/bench/bare-stream
isolate "$@"
cleanup_fn tgt_kill
mount -t tmpfs -o size=$((MIB + 64))M tmpfs /mnt
tgt_start
tgt_target 1 $IQN
tgt_tune 1
dd if=/dev/zero of=/mnt/lun bs=1M count=$((MIB + 16)) status=none
tgt_lun 1 1 /mnt/lun $((MIB + 16))M
url=iscsi://$TGT_PORTAL/$IQN/1

# A vault keeps its LUN reserved: the bare stream gets another LUN, which is
# the same memory.
tgtadm --lld iscsi --op new --mode logicalunit --tid 1 --lun 2 \
    --backing-store /mnt/lun || fail "no second LUN"
bare=iscsi://$TGT_PORTAL/$IQN/2

"$STREAM" "$url" format || fail "format"
for ((i = 0; i < ROUNDS; i++)); do
    TMPDIR=/dev/shm "$QM_SRC/tests/bench/qemu-stream" "$MIB"
    for through in memory pipe; do
        "$BARE" "$bare" write $DEPTH "$MIB"
        "$STREAM" "$url" save "$MIB" $through
        "$STREAM" "$url" load "$MIB" $through
        "$BARE" "$bare" read $DEPTH "$MIB"
    done
    "$STREAM" "$url" save "$MIB" pipe encrypted
    "$STREAM" "$url" load "$MIB" pipe encrypted
done >/run/samples || fail "a run failed"

jq -rs 'def median: sort | .[length / 2 | floor];
    def of(f): map(select(f) | .flushed_mb_per_s // .mb_per_s) | median;
    {bare_write_mb_s: of(.what == "bare write"),
     bare_read_mb_s: of(.what == "bare read"),
     save_mb_s: of(.what == "save" and .through == "memory"),
     load_mb_s: of(.what == "load" and .through == "memory"),
     save_pipe_mb_s: of(.what == "save" and .through == "pipe"),
     load_pipe_mb_s: of(.what == "load" and .through == "pipe"),
     save_encrypted_mb_s: of(.what == "save" and .through == "pipe encrypted"),
     load_encrypted_mb_s: of(.what == "load" and .through == "pipe encrypted"),
     qemu_mb_s: of(.what == "qemu")} |
    .save_ratio = (.save_mb_s / .bare_write_mb_s * 100 | round / 100) |
    .load_ratio = (.load_mb_s / .bare_read_mb_s * 100 | round / 100) |
    .save_pipe_ratio = (.save_pipe_mb_s / .bare_write_mb_s * 100 | round / 100) |
    .load_pipe_ratio = (.load_pipe_mb_s / .bare_read_mb_s * 100 | round / 100) |
    .save_qemu_ratio = (.save_pipe_mb_s / .qemu_mb_s * 100 | round / 100) |
    "            bare   memory     pipe   MB/s",
    "save    \(.bare_write_mb_s)    \(.save_mb_s)    \(.save_pipe_mb_s)   ratio \(.save_ratio) / \(.save_pipe_ratio)",
    "load    \(.bare_read_mb_s)    \(.load_mb_s)    \(.load_pipe_mb_s)   ratio \(.load_ratio) / \(.load_pipe_ratio)",
    "encrypted, through a pipe: save \(.save_encrypted_mb_s), load \(.load_encrypted_mb_s)",
    "QEMU into a pipe that is read to nowhere: \(.qemu_mb_s); our save through a pipe is \(.save_qemu_ratio) of it",
    ({stream: .} | tojson)' /run/samples
