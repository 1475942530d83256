#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# What one monitor of a running VM costs: CPU time, its own and of all its
# children, and the number of processes; ours and ocf:heartbeat:VirtualDomain's
# in the same lab.
#
#   monitor.sh [ROUNDS]      prints a table, and JSON as its last line
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/../cluster/lib.sh"
ROUNDS=${1:-20}
THEIRS=/usr/lib/ocf/resource.d/heartbeat/VirtualDomain

lab_requires
[[ -x $THEIRS ]] || die "no $THEIRS"
command -v strace >/dev/null || die "no strace"
cluster_up 1
vm_create vm1 lun -- --ip 10.77.0.101
on n1 crm configure delete vm1
agent n1 vm1 start 2>/dev/null || die "start of vm1"
lab vm-xml vm2 --disk-file "$QM_LAB_DIR/vm2.img" >"$QM_LAB_DIR/vm2.xml"
truncate -s 64M "$QM_LAB_DIR/vm2.img"
on n1 virsh -q create "$QM_LAB_DIR/vm2.xml" || die "start of vm2"

# "measure NAME COMMAND..." with the environment of the monitor.
measure() {
    on n1 env OCF_ROOT=/usr/lib/ocf OCF_RESKEY_CRM_meta_timeout=30000 \
        OCF_RESKEY_CRM_meta_interval=10000 "${@:2}" \
        python3 - "$1" "$ROUNDS" <<'PY'
import json, os, re, resource, statistics, subprocess, sys, tempfile, time

agent = os.environ["AGENT"]
cpu, wall = [], []
for _ in range(int(sys.argv[2])):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    subprocess.run([agent, "monitor"], check=True, stderr=subprocess.DEVNULL)
    wall.append(time.monotonic() - began)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu.append(after.ru_utime + after.ru_stime
               - before.ru_utime - before.ru_stime)
with tempfile.NamedTemporaryFile("r") as out:
    subprocess.run(["strace", "-f", "-e", "trace=clone,clone3,fork,vfork",
                    "-o", out.name, agent, "monitor"],
                   check=True, stderr=subprocess.DEVNULL)
    lines = out.read().splitlines()
# A call that was interrupted in the trace counts once.
children = [l for l in lines
            if re.search(r"\b(clone|clone3|fork|vfork)\(", l)
            and "CLONE_THREAD" not in l]
print(json.dumps({
    "agent": sys.argv[1],
    "cpu_ms": round(statistics.median(cpu) * 1000, 1),
    "wall_ms": round(statistics.median(wall) * 1000, 1),
    "processes": 1 + len(children)}))
PY
}

{
    measure quickmig AGENT="$AGENT" OCF_RESOURCE_INSTANCE=vm1 \
        OCF_RESKEY_vault="${VM_VAULT[vm1]}"
    measure VirtualDomain AGENT="$THEIRS" OCF_RESOURCE_INSTANCE=vm2 \
        OCF_RESKEY_config="$QM_LAB_DIR/vm2.xml" \
        OCF_RESKEY_hypervisor=qemu:///system
} >"$QM_LAB_DIR/samples"
jq -rs '"agent              CPU ms  wall ms  processes",
    (.[] | "\(.agent)\t\t\(.cpu_ms)\t\(.wall_ms)\t\(.processes)"),
    ({monitor: .} | tojson)' "$QM_LAB_DIR/samples"
