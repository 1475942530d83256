# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# shellcheck shell=bash
#
# For tests of the library's part for libvirt: one lab node without cluster,
# one guest on a raw file, and steps made with vm-tool.

# shellcheck source=functions.sh
. "$(dirname "${BASH_SOURCE[0]}")/functions.sh"
# shellcheck source=../lab/lib.sh
. "$QM_SRC/tests/lab/lib.sh"

set -euo pipefail

TOOL=$QM_BUILD/tests/functional/vm-tool

# vm_begin [VM-XML-OPTION...]: sets UUID, XML, RUN (directory for FIFOs), IMAGE.
# shellcheck disable=SC2034 # for the tests
vm_begin() {
    requires_root
    requires libvirtd qemu-system-x86_64 gcc
    requires_built tests/functional/vm-tool
    lab_new
    cleanup_fn lab down --purge
    lab up --nodes 1 --no-pacemaker || fail "no lab"
    truncate -s 16M "$QM_LAB_DIR/shared/vm.img"
    chmod 666 "$QM_LAB_DIR/shared/vm.img"
    XML=$QM_LAB_DIR/vm.xml IMAGE=$QM_LAB_DIR/image
    [[ $* == *--disk-url* ]] || set -- --disk-file "$(lab shared)/vm.img" "$@"
    lab vm-xml vm "$@" >"$XML"
    UUID=$(sed -n 's|<uuid>\(.*\)</uuid>|\1|p' "$XML")
    RUN=/run/quickmig/vm/$UUID
    lab exec n1 mkdir -p "$RUN"
    LIBVIRTD=$(lab libvirtd n1 pid)
}

# vm STEP [ARGUMENT...]: OUT is what vm-tool printed.
vm() {
    local rc=0
    OUT=$(lab exec n1 env "STEP_MS=${STEP_MS:-60000}" "$TOOL" "$UUID" "$@") ||
        rc=$?
    echo "$*: $OUT"
    return "$rc"
}

# must_fail ERROR MOST-MS STEP...: fails with this error within this time.
must_fail() {
    local expected=$1 most=$2 ms
    shift 2
    ! vm "$@" || fail "$* succeeded"
    [[ $OUT == "$expected "* ]] || fail "$*: expected error $expected"
    ms=${OUT#* } ms=${ms%%:*}
    [[ $ms -le $most ]] || fail "$*: took $ms ms, allowed are $most"
}

# is STATE
is() {
    vm state
    [[ $OUT == "$1"$'\n'* ]] || fail "expected state $1"
}

vm_boot() {
    vm create "$XML"
    lab console vm wait READY 60
}

# The guest runs, and its memory is what it wrote.
guest_goes_on() {
    guest_wait_ticks vm 5 10
    guest_mem_ok vm || fail "the guest found corrupt memory"
}

no_qemu() {
    ! lab exec n1 pgrep -a qemu-system || fail "a QEMU was left behind"
}

# Nothing but guards against late calls.
no_fifo() {
    local left
    left=$(lab exec n1 find "$RUN" -type p -o -type f)
    [[ -z $left ]] || fail "left behind: $left"
}
