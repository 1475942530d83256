#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# alone: it counts the namespaces, processes and mounts of the whole host
#
# The lab keeps what tests/lab/README.md promises: cluster, guest, faults,
# fencing, two labs side by side, and nothing left behind.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/lab/lib.sh source-path=SCRIPTDIR/../..
. "$here/../lab/lib.sh"

fail() {
    echo "FAIL: $*"
    exit 1
}

step() {
    echo "[$((SECONDS / 60)):$(printf %02d $((SECONDS % 60)))] $*"
}

# in_lab DIR ARGUMENT...
in_lab() {
    QM_LAB_DIR=$1 lab "${@:2}"
}

cleanup() {
    local rc=$? dir
    trap - EXIT
    for dir in "${dirs[@]}"; do
        if [[ $rc -ne 0 ]]; then
            in_lab "$dir" down || true
            echo "logs: $dir"
        else
            in_lab "$dir" down --purge || rc=1
        fi
    done
    exit "$rc"
}

lab_requires
dirs=()
trap cleanup EXIT
trap 'exit 130' INT TERM
lab_new
A=$QM_LAB_DIR dirs+=("$QM_LAB_DIR")
lab_new
B=$QM_LAB_DIR dirs+=("$QM_LAB_DIR")
lab_new
C=$QM_LAB_DIR dirs+=("$QM_LAB_DIR")
export QM_LAB_DIR=$A

# Namespaces of a running lab, to look for after its end.
namespaces() {
    local file pid kind
    for file in "$1"/sw/pid "$1"/nodes/*/pid; do
        read -r pid _ <"$file"
        for kind in net mnt pid uts ipc; do
            readlink "/proc/$pid/ns/$kind" | grep -o '[0-9]*' || true
        done
    done
}

nothing_left() {
    local dir=$1 spaces=$2 left
    left=$(pgrep -af "$dir" || true)
    [[ -z $left ]] || fail "processes left: $left"
    ! grep -q "$dir" /proc/mounts || fail "mounts of $dir left"
    # A dead PID 1 that the machine's own init has not reaped yet is no rest.
    left=$(lsns -n -o NS,TYPE,PID,COMMAND | grep -wF "$spaces" |
        while read -r ns type pid command; do
            grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null ||
                echo "$ns $type $pid $command"
        done || true)
    [[ -z $left ]] || fail "namespaces left: $left"
}

pings() {
    in_lab "$1" exec sw ping -q -c 1 -W 1 "$2" >/dev/null
}

test_up() {
    step "two labs come up at the same time"
    in_lab "$B" up --nodes 1 --no-pacemaker &
    local other=$!
    lab up --nodes 2
    wait $other
    lab exec n2 crm_mon -1 | grep 'Online: \[ n1 n2 \]' >/dev/null || fail "not online"
    local code=0
    # shellcheck disable=SC2016
    (cd / && lab exec n1 bash -c '[[ $PWD == / ]] && exit 42') || code=$?
    [[ $code -eq 42 ]] || fail "exec gave $code for 42"
    [[ $(lab exec n1 cat /proc/sys/kernel/random/boot_id) != \
        "$(lab exec n2 cat /proc/sys/kernel/random/boot_id)" ]] ||
        fail "two nodes with one boot id"
}

start_guest() {
    lab exec "$1" virsh -q create "$A/vm1.xml"
}

test_guest() {
    step "a guest boots from an iSCSI LUN"
    local url
    url=$(lab lun create vm1 64M)
    lab vm-xml vm1 --disk-url "$url" --ip 10.77.0.101 --dirty 5 >"$A/vm1.xml"
    start_guest n1
    guest_wait_boot vm1 none
    BOOT1=$(guest_boot_id vm1)
    [[ $(lab exec n1 ps -o user= -C qemu-system-x86_64) == libvirt* ]] ||
        fail "QEMU does not run as libvirt-qemu"
    lab_wait_until 10 pings "$A" 10.77.0.101
    ! pings "$B" 10.77.0.101 || fail "the guest is in the other lab too"
    guest_wait_full_check vm1 || fail "memory"
    disk_log_check "$(lab lun path vm1)" --min-seq "$(guest_synced vm1)" ||
        fail "disk log"
}

# Milliseconds that reading 8 MiB of the LUN from n1 takes.
read_time() {
    local start
    start=$(now_wall_ms)
    lab exec n1 qemu-img dd -f raw -O raw bs=1M count=8 of=/dev/shm/copy \
        if="$(lab lun url vm1)" >/dev/null
    echo $(($(now_wall_ms) - start))
}

test_limit() {
    step "bandwidth limit"
    local free limited
    free=$(read_time)
    lab limit n1 40mbit storage
    limited=$(read_time)
    lab limit n1 none
    echo "8 MiB in $free ms, at 40 Mbit/s in $limited ms"
    [[ $limited -ge 1000 && $limited -le 4000 ]] || fail "limit"
}

test_cut() {
    step "cut and heal"
    local way log
    log=$(in_lab "$B" ping 10.77.0.1 --interval 10)
    pings "$B" 10.77.0.1 || fail "no ping before"
    for way in --in --out both; do
        in_lab "$B" cut n1 cluster "$way"
        ! pings "$B" 10.77.0.1 || fail "ping although cut $way"
        pings "$B" 10.78.0.1 || fail "the storage network is cut too"
        in_lab "$B" heal n1
        lab_wait_until 5 pings "$B" 10.77.0.1
    done
    in_lab "$B" cut sw cluster
    ! pings "$B" 10.77.0.1 || fail "ping although the switch is cut"
    pings "$B" 10.78.0.1 || fail "the storage network's switch is cut too"
    in_lab "$B" heal sw cluster
    lab_wait_until 5 pings "$B" 10.77.0.1
    [[ $(ping_silence "$log") -ge 900 ]] || fail "ping watch saw no silence"
    guest_wait_ticks vm1 5
    lab cut n1 storage
    local seq
    lab_wait_until 5 seq_stands_still
    lab heal n1
    seq=$(guest_synced vm1)
    lab_wait_until 30 seq_above "$seq"
}

seq_above() {
    [[ $(guest_synced vm1) -gt $1 ]]
}

seq_stands_still() {
    local seq
    seq=$(guest_synced vm1)
    guest_wait_ticks vm1 6 && ! seq_above "$seq"
}

test_freeze() {
    step "freeze and thaw"
    in_lab "$B" freeze n1
    [[ $(in_lab "$B" exec n1 ps -o state= -C libvirtd) == T ]] ||
        fail "libvirtd is not frozen"
    in_lab "$B" thaw n1
    in_lab "$B" exec n1 virsh -q list
    in_lab "$B" libvirtd n1 kill
    ! in_lab "$B" libvirtd n1 pid || fail "libvirtd lives"
    in_lab "$B" libvirtd n1 start
    in_lab "$B" exec n1 virsh -q list
}

# Where n2 sends what goes to the storage target: asked for anew.
target_address() {
    lab exec n2 ip neigh flush to 10.78.0.254
    lab exec n2 ping -q -c 1 -W 2 10.78.0.254 >/dev/null
    lab exec n2 ip neigh show 10.78.0.254 |
        sed -n 's/.* lladdr \([0-9a-f:]*\) .*/\1/p'
}

fenced() {
    [[ $(fence_count "$1") -ge 1 ]]
}

test_node_death() {
    step "node death, fencing, cold boot elsewhere"
    local seq start address
    guest_wait_ticks vm1 10
    address=$(target_address)
    seq=$(guest_synced vm1)
    start=$(now_wall_ms)
    lab kill n1
    lab_wait_until 30 fenced n1
    echo "fenced after $(($(now_wall_ms) - start)) ms"
    [[ -n $address && $(target_address) == "$address" ]] ||
        fail "the target's link address went with n1"
    start_guest n2
    guest_wait_boot vm1 "$BOOT1"
    guest_wait_full_check vm1 || fail "memory"
    disk_log_check "$(lab lun path vm1)" --min-seq "$seq" || fail "disk log"
    [[ $(disk_log_check "$(lab lun path vm1)" | grep -o '"id"' | wc -l) -eq 2 ]] ||
        fail "not two boots in the disk log"
    lab start n1
    lab exec n2 crm_mon -1 | grep 'Online: \[ n1 n2 \]' >/dev/null || fail "no n1"
}

test_fence_modes() {
    step "a fence device that lies, and one that fails"
    local before
    before=$(lab exec n1 cat /proc/sys/kernel/random/boot_id)
    lab fencing lie
    lab exec n2 fence_lab -o off -n n1 || fail "a liar says success"
    lab fencing fail
    ! lab exec n2 fence_lab -o off -n n1 2>/dev/null || fail "must fail"
    lab fencing honest
    [[ $(lab exec n1 cat /proc/sys/kernel/random/boot_id) == "$before" ]] ||
        fail "n1 was killed"
}

test_shutdown() {
    step "ACPI shutdown"
    lab exec n2 virsh -q shutdown vm1
    lab console vm1 wait '^SHUTDOWN boot=' 20
    disk_log_check "$(lab lun path vm1)" >/dev/null || fail "disk log"
}

test_down() {
    step "nothing stays behind"
    local a b
    a=$(namespaces "$A") b=$(namespaces "$B")
    lab down
    lab down
    nothing_left "$A" "$a"
    in_lab "$B" down
    nothing_left "$B" "$b"
    setsid "$here/../lab/lab" --dir "$C" up --nodes 2 &
    local up=$!
    lab_wait_until 20 test -e "$C/nodes/n2/pid"
    kill -KILL $up
    wait $up 2>/dev/null || true
    a=$(namespaces "$C")
    in_lab "$C" down
    nothing_left "$C" "$a"
}

test_up
test_guest
test_limit
test_cut
test_freeze
test_node_death
test_fence_modes
test_shutdown
test_down
step "PASS"
