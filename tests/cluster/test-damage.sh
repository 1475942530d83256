#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 600
#
# A saved image that was damaged: refused by checksum; then cold boot or
# block, as on_restore_failure says, with a line in the log.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

IMAGE=$((4 << 20)) # where the image begins on a LUN

stop_vm() {
    on n1 crm resource stop "$1" || die "crm resource stop"
    cluster_idle
    [[ $(vm_record "$1" state) == SAVED ]] || die "$1 is not saved"
}

# Flips one bit of the byte at $2 within the image.
flip() {
    python3 - "$(lab lun path "$1-vault")" $((IMAGE + $2)) <<'PY'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(int(sys.argv[2]))
    byte = f.read(1)[0]
    f.seek(int(sys.argv[2]))
    f.write(bytes([byte ^ 0x10]))
PY
}

# The image's second half becomes zeros, as if it had never been written.
truncate_image() {
    local length
    length=$(vm_record "$1" image_length)
    dd if=/dev/zero of="$(lab lun path "$1-vault")" bs=4096 conv=notrunc \
        seek=$(((IMAGE + length / 2) / 4096)) count=$((length / 8192)) \
        status=none
}

log_says() {
    grep -hq "$1" "$QM_LAB_DIR"/nodes/*/log/quickmig/quickmig.log ||
        die "no log line: $1"
}

boots_anyway() {
    vm_remember vm1
    stop_vm vm1
    "$1" vm1 "${@:2}"
    on n1 crm resource start vm1
    cluster_idle
    vm_other_boot vm1
    log_says 'is damaged or cut short'
    log_says 'could not be restored often enough: boot it'
    say "cold boot after: $*"
}

is_blocked() {
    on n1 crm resource param vm1 set on_restore_failure block
    cluster_idle
    guest_wait_ticks vm1 5 60
    stop_vm vm1
    flip vm1 100000
    on n1 crm resource start vm1
    cluster_idle
    [[ $(vm_copies vm1) == 0 ]] || die "it was started"
    [[ $(vm_record vm1 state) == SAVED ]] || die "the image was given up"
    log_says 'on_restore_failure=block'
    say "blocked; discard lets it boot"
    vm_remember vm1
    on n1 quickmig discard vm1 --yes >/dev/null || die "discard"
    on n1 crm_resource --cleanup -r vm1 >/dev/null 2>&1
    cluster_idle
    vm_other_boot vm1
}

cluster_up 2
vm_create vm1 lun -- --ip 10.77.0.101
vm_start vm1
boots_anyway flip 5000000
boots_anyway flip 20
boots_anyway truncate_image
is_blocked
say "ok"
