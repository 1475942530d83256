#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 300
#
# quickmigd as a clone: it is started everywhere and again when it dies, its
# VMs untouched; a QEMU that dies is reported at once, long before the next
# monitor, also after libvirtd was restarted; moves and stops are no failures.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

reports() {
    cat "$QM_LAB_DIR"/nodes/*/log/quickmig/quickmig.log |
        grep -c 'without being asked to' || true
}

_reported() { # COUNT
    [[ $(reports) -gt $1 ]]
}

_listens() { # NODE COUNT
    [[ $(grep -c 'listening to libvirt' \
        "$QM_LAB_DIR/nodes/$1/log/quickmig/quickmig.log") -ge $2 ]]
}

listening() { # NODE
    grep -c 'listening to libvirt' \
        "$QM_LAB_DIR/nodes/$1/log/quickmig/quickmig.log" || true
}

everywhere() {
    local node
    for node in n1 n2 n3; do
        lab_wait_until 30 daemon_runs $node || die "no quickmigd on $node"
        lab_wait_until 30 _listens $node 1 || die "$node does not listen"
    done
}

daemon_dies() {
    local pid
    say "--- quickmigd dies"
    vm_remember vm1
    pid=$(on "$HERE" pgrep -x quickmigd)
    on "$HERE" kill -KILL "$pid"
    lab_wait_until 60 daemon_runs "$HERE" || die "it is not started again"
    cluster_idle
    [[ $(vm_node vm1) == "$HERE" ]] || die "vm1 was moved"
    vm_same_boot vm1
    lab_wait_until 30 _listens "$HERE" 2 || die "it does not listen"
}

qemu_dies() { # WHAT
    local seen began
    say "--- QEMU dies$1"
    seen=$(reports)
    vm_remember vm1
    HERE=$(vm_node vm1)
    began=$(now_wall_ms)
    on "$HERE" pkill -KILL -f 'qemu-system.*guest=vm1,'
    lab_wait_until 20 _reported "$seen" || die "it was not reported"
    say "reported after $(($(now_wall_ms) - began)) ms"
    vm_other_boot vm1
    say "the guest has booted after $(($(now_wall_ms) - began)) ms"
    # The monitor comes once in 10 minutes here.
    [[ $(($(now_wall_ms) - began)) -lt 60000 ]] || die "that was the monitor"
    [[ $(vm_node vm1) != "" ]] || die "it runs nowhere"
    cluster_idle
}

no_false_alarm() {
    local seen
    say "--- a move and a stop are no failures"
    seen=$(reports)
    vm_remember vm1
    vm_move vm1 "$([[ $(vm_node vm1) == n1 ]] && echo n2 || echo n1)"
    vm_same_boot vm1
    on n3 crm resource stop vm1 >/dev/null 2>&1
    cluster_idle
    on n3 crm resource start vm1 >/dev/null 2>&1
    cluster_idle
    vm_same_boot vm1
    [[ $(reports) == "$seen" ]] || die "a false alarm"
}

libvirtd_restarts() {
    local seen
    HERE=$(vm_node vm1)
    seen=$(listening "$HERE")
    say "--- libvirtd is restarted"
    lab libvirtd "$HERE" restart
    lab_wait_until 60 _listens "$HERE" $((seen + 1)) || die "it is deaf"
}

# Its agent looks at the lock that the daemon takes.
starts_often() {
    local i agent=/usr/lib/ocf/resource.d/quickmig/Node
    say "--- stopped and started thirty times"
    on n1 crm configure property maintenance-mode=true
    for ((i = 0; i < 30; i++)); do
        on "$HERE" env OCF_ROOT=/usr/lib/ocf OCF_RESOURCE_INSTANCE=node \
            sh -c "$agent stop && $agent start" ||
            die "start $i: $(grep 'is held' "$(log_of "$HERE")")"
    done
    on n1 crm configure property maintenance-mode=false
    cluster_idle
}

log_of() { # NODE
    echo "$QM_LAB_DIR/nodes/$1/log/quickmig/quickmig.log"
}

cluster_up 3
NODE_INTERVAL=5s node_daemons_up
everywhere
VAULT_SIZE=1G vm_create vm1 lun -- --ip 10.77.0.101 --live-safe
on n1 crm_resource --resource vm1 --meta -p migration-threshold -v 1000 \
    >/dev/null
on n1 sh -c 'crm configure show xml vm1 |
    sed "s/name=\"monitor\" timeout=\"30s\" interval=\"10s\"/name=\"monitor\" timeout=\"30s\" interval=\"600s\"/" |
    crm configure load xml update -' >/dev/null 2>&1 || die "crm configure load"
on n1 crm configure show xml vm1 | grep -c 'interval="600s"' >/dev/null ||
    die "the monitor's interval was not changed"
vm_start vm1
HERE=$(vm_node vm1)
daemon_dies
no_false_alarm
qemu_dies ""
libvirtd_restarts
qemu_dies " after that"
starts_often
say "ok"
