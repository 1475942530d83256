#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# Three nodes and many VMs in the CIB: the processor time that each command of
# the administrator's takes, its children included, and a survey of quickmigd.
# Prints one JSON object.
#
#   scale.sh [VMS [lun|dir]]     where their vaults are
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../cluster/lib.sh
. "$(dirname "$0")/../cluster/lib.sh"
VMS=${1:-200}
KIND=${2:-lun}

# VMs that are off; one change of the CIB.
many() {
    local i url
    lab vm-xml vm0 --disk-file "$SHARED/vm0.img" >"$QM_LAB_DIR/shared/vm0.xml"
    for ((i = 1; i <= VMS; i++)); do
        if [[ $KIND == lun ]]; then
            url=$(lab lun create "vm$i-vault" 8M)
        else
            url=$SHARED/vm$i
            mkdir "$QM_LAB_DIR/shared/vm$i"
        fi
        sed -e "s,<name>.*</name>,<name>vm$i</name>," -e "s,<uuid>.*</uuid>,$(
            printf '<uuid>00000000-0000-4000-8000-%012x</uuid>' "$i")," \
            "$QM_LAB_DIR/shared/vm0.xml" >"$QM_LAB_DIR/shared/vm$i.xml"
        on n1 quickmig vault create "$url" --xml "$SHARED/vm$i.xml" \
            --no-check >/dev/null 2>&1 || die "vault create"
        echo "primitive vm$i ocf:quickmig:VirtualMachine params vault=$url" \
            "op start timeout=180s interval=0 op stop timeout=300s interval=0" \
            "op monitor timeout=60s interval=10s" \
            "op migrate_to timeout=300s interval=0" \
            "op migrate_from timeout=180s interval=0" \
            "meta allow-migrate=true target-role=Stopped"
    done >"$QM_LAB_DIR/shared/many.crm"
    on n1 crm --force configure load update "$SHARED/many.crm" >/dev/null 2>&1 ||
        die "crm configure"
    cluster_idle 600
}

# User and system time of a command and its children, ms, median of three.
cpu_ms() {
    local i
    for i in 1 2 3; do
        on n1 bash -c 'TIMEFORMAT="%U %S"; time "$@" >/dev/null 2>&1 || :' - "$@" \
            2>&1 | tail -n 1 | awk '{ printf "%d\n", ($1 + $2) * 1000 }'
    done | sort -n | sed -n 2p
}

measure() {
    local what ms
    for what in "status" "hosts" "hosts vm1" "jobs" "history vm1" "capacity" \
        "doctor" "plan vm1 n2"; do
        # shellcheck disable=SC2086 # words
        ms=$(cpu_ms quickmig $what)
        echo "{\"command\":\"quickmig $what\",\"cpu_ms\":$ms}"
        say "quickmig $what: $ms ms" >&2
    done
    ms=$(cpu_ms quickmigd --survey)
    echo "{\"command\":\"quickmigd --survey\",\"cpu_ms\":$ms}"
    say "quickmigd --survey: $ms ms" >&2
}

cluster_up 3 >&2
node_daemons_up >&2
many >&2
say "$VMS VMs" >&2
measure >"$QM_LAB_DIR/samples"
jq -s --argjson n "$VMS" '{vms: $n, nodes: 3, commands: .}' "$QM_LAB_DIR/samples"
