#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 300
#
# Nodes that are not alike: a network with another name there (network_map), by
# a live move, a restore and a cold boot; a CPU that all of them can be (vault
# set-cpu); and the history of all VMs, which tells of it.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

survey() {
    on n1 quickmigd --survey && on n2 quickmigd --survey
}

eligible() { # NODE
    on n1 quickmig hosts vm1 --json |
        jq -r ".hosts[] | select(.node == \"$1\") | .eligible"
}

bridge_on() { # NODE BRIDGE
    local xml
    xml=$(on "$1" virsh -q dumpxml vm1) || die "vm1 is not on $1"
    grep -q "<source bridge='$2'/>" <<<"$xml" ||
        die "not on bridge $2 of $1: $(grep 'source bridge' <<<"$xml")"
    say "vm1 on $1: bridge $2"
}

told_cpu() { # NODE
    on n1 attrd_updater -Q -n quickmig-cpu -N "$1" 2>/dev/null |
        sed -n 's/.*value="\(.*\)"$/\1/p'
}

cluster_up 2
on n2 ip link add br5 type bridge
on n2 ip link set br5 up
node_daemons_up
vm_create vm1 lun -- --ip 10.77.0.101 --bridge br5
vm_create vm2 lun --
on n1 crm configure location vm1-on-n2 vm1 50: n2

say "--- eligible with the map only"
survey
survey # the vault is read once a minute, what it says counts each time
[[ $(eligible n1) == false ]] || die "n1 has no br5, and may have vm1"
on n1 crm_resource -r vm1 --set-parameter network_map \
    --parameter-value n1:br5=br0 >/dev/null
survey
[[ $(eligible n1) == true && $(eligible n2) == true ]] ||
    die "not eligible: $(on n1 quickmig hosts vm1)"

say "--- live, from br5 to br0"
vm_start vm1
bridge_on n2 br5
vm_remember vm1
vm_move vm1 n1
bridge_on n1 br0
vm_same_boot vm1
guest_pings() {
    lab exec sw ping -c 1 -W 1 10.77.0.101 >/dev/null
}
lab_wait_until 20 guest_pings || die "the guest does not answer on br0"

say "--- saved on n1, restored on n2"
on n1 crm resource stop vm1
cluster_idle
[[ $(vm_record vm1 state) == SAVED ]] || die "it is $(vm_record vm1 state)"
on n1 crm configure location not-n1 vm1 -inf: n1
on n1 crm resource start vm1
vm_wait_node vm1 n2
bridge_on n2 br5
vm_same_boot vm1
on n1 crm configure delete not-n1
cluster_idle

say "--- a wrong map is refused"
code=0
agent n1 vm1 validate-all OCF_RESKEY_network_map=br5 2>"$QM_LAB_DIR/out" ||
    code=$?
[[ $code -eq 6 ]] || die "validate-all: exit code $code"
grep -q 'network_map.*NODE:NETWORK=NAME_THERE' "$QM_LAB_DIR/out" ||
    die "it does not say why: $(<"$QM_LAB_DIR/out")"

say "--- a CPU for all"
told=$(told_cpu n2)
[[ $told == qemu/x86_64/*/*/* ]] || die "n2 has not told its CPU: \"$told\""
say "n2: $told"
on n2 quickmig vault set-cpu vm1 --baseline || die "set-cpu"
xml=$(on n1 quickmig vault show vm1 --xml)
grep -q '<cpu mode="custom" match="exact"' <<<"$xml" || die "no CPU: $xml"
# n1 can all of it but for one feature.
feature=$(grep -oP 'policy="require" name="\K[^"]+' <<<"$xml" | head -n 1)
[[ -n $feature ]] || die "a CPU without features: $xml"
less=${told/%$feature/-$feature}
[[ $less != "$told" ]] || less=${told/,$feature,/,-$feature,}
[[ $less != "$told" ]] || less=${told/\/$feature,//-$feature,}
on n1 attrd_updater -n quickmig-cpu -N n1 -U "$less"
lesser() {
    [[ $(told_cpu n1) == "$less" ]]
}
lab_wait_until 20 lesser || die "not told: $(told_cpu n1)"
lab_wait_until 20 on n2 quickmig vault set-cpu vm1 --baseline --json \
    >"$QM_LAB_DIR/cpu.json" || die "set-cpu"
jq -e --arg f "$feature" '.nodes == ["n1", "n2"] and (.xml |
    contains("policy=\u0027require\u0027 name=\u0027" + $f + "\u0027") | not)' \
    "$QM_LAB_DIR/cpu.json" >/dev/null || die "$(<"$QM_LAB_DIR/cpu.json")"
say "$(jq -r .cpu "$QM_LAB_DIR/cpu.json")"
on n1 attrd_updater -n quickmig-cpu -N n1 -D
code=0
lab_wait_until 20 test -z "$(told_cpu n1)" || die "n1 tells its CPU still"
on n2 quickmig vault set-cpu vm1 --baseline 2>"$QM_LAB_DIR/out" || code=$?
[[ $code -eq 4 ]] || die "without n1's CPU: exit code $code"
grep -q 'what CPU n1 has.*--force' "$QM_LAB_DIR/out" ||
    die "it does not say why: $(<"$QM_LAB_DIR/out")"

say "--- it boots with that"
on n1 crm_resource -r vm1 --set-parameter stop_action \
    --parameter-value poweroff >/dev/null
cluster_idle
on n1 crm resource restart vm1 >/dev/null || die "restart"
vm_wait_node vm1 n2
vm_other_boot vm1
bridge_on n2 br5
grep -q "<cpu mode='custom' match='exact'" <<<"$(on n2 virsh dumpxml vm1)" ||
    die "another CPU: $(on n2 virsh dumpxml vm1)"

say "--- the history of all"
vm_start vm2
on n1 quickmig history >"$QM_LAB_DIR/history"
for line in '^TIME .*VM .*NODE' ' vm1 .*domain XML changed' \
    ' vm2 .* -> RUNNING'; do
    grep -q "$line" "$QM_LAB_DIR/history" || die "$(<"$QM_LAB_DIR/history")"
done
cut -c1-20 "$QM_LAB_DIR/history" | sed 1d | sort -c || die "not by time"
on n1 quickmig history --json --limit 1 |
    jq -e '[.vms[] | .vm, (.entries | length)] == ["vm1", 1, "vm2", 1]' \
        >/dev/null || die "$(on n1 quickmig history --json --limit 1)"
say "ok"
