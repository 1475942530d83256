#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 400
#
# Where a VM may run: a node without the bridge, one whose libvirt does not
# know the CPU model, and one short of memory are never chosen, by us or by
# Pacemaker, and "hosts" says why; "move" without a node takes the best rated;
# the script of "plan" does what the plan says.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

survey() {
    local node
    for node in n1 n2 n3; do
        on $node quickmigd --survey
    done
}

# Until every node knows where everything runs.
surveyed() {
    survey
    survey
}

host() { # VM NODE FIELD
    on n1 quickmig hosts "$1" --json |
        jq -r ".hosts[] | select(.node == \"$2\") | .$3"
}

expect_no() { # VM NODE PATTERN
    local why
    [[ $(host "$1" "$2" eligible) == false ]] || die "$2 may have $1"
    why=$(host "$1" "$2" reason)
    grep -qE "$3" <<<"$why" || die "$2, $1: \"$why\" does not say \"$3\""
    say "$1 not on $2: $why"
    grep -q "$1 allocation score on $2: -INFINITY" <<<"$(scores "$1")" ||
        die "Pacemaker would take $2 for $1: $(scores "$1")"
}

# Pacemaker's own view, as if the VM were to be started.
scores() { # VM
    on n1 cibadmin --query | sed '/-target-role"/s/"Stopped"/"Started"/' \
        >"$QM_LAB_DIR/shared/cib.xml"
    on n1 crm_simulate --show-scores --xml-file "$SHARED/cib.xml" |
        grep ": $1 allocation score"
}

expect_yes() { # VM NODE
    [[ $(host "$1" "$2" eligible) == true ]] ||
        die "$2 may not have $1: $(host "$1" "$2" reason)"
}

# The rules that "quickmig protect" makes.
rules() { # VM
    on n1 crm configure location "eligible-$1" "$1" \
        rule -inf: "quickmig-eligible-$1" eq no \
        rule "quickmig-rating-$1": defined "quickmig-rating-$1" ||
        die "crm configure location"
}

# A libvirt that does not know this CPU model.
forget_cpu() { # NODE MODEL
    local dir=$QM_LAB_DIR/cpu_map
    cp -r /usr/share/libvirt/cpu_map "$dir"
    sed -i "/x86_$2.xml/d" "$dir/index.xml"
    on "$1" mount --bind "$dir" /usr/share/libvirt/cpu_map
    lab libvirtd "$1" restart
}

cluster_up 3
for n in n2 n3; do
    on $n ip link add br5 type bridge
    on $n ip link set br5 up
done
forget_cpu n3 Nehalem
node_daemons_up
vm_create bridged lun mode=quick -- --ip 10.77.0.101 --bridge br5
vm_create modelled lun -- --cpu-model Nehalem
vm_create small lun mode=quick -- --ip 10.77.0.103
vm_create huge lun -- --ip 10.77.0.104
for vm in bridged modelled small huge; do rules $vm; done
# More memory than any node has; it is not started.
on n1 quickmig vault show huge --xml |
    sed "s,<memory[^<]*</memory>,<memory unit='TiB'>1</memory>," \
        >"$QM_LAB_DIR/shared/huge.xml"
on n1 quickmig vault edit huge --no-check --xml "$SHARED/huge.xml" >/dev/null
for n in n1 n2 n3; do
    on $n rm -f /run/quickmig/survey/huge.xml # else it is read again in a minute
done
surveyed
on n1 quickmig hosts bridged
expect_no bridged n1 'no bridge br5'
expect_yes bridged n2
expect_no modelled n3 'CPU: .*(Nehalem|model)'
expect_yes modelled n1
expect_no huge n1 'MiB of memory are free, it needs'
expect_no huge n2 'MiB of memory are free'

vm_start bridged
[[ $(vm_node bridged) != n1 ]] || die "Pacemaker took n1"
vm_start small
survey
from=$(vm_node bridged)
to=$([[ $from == n2 ]] && echo n3 || echo n2)
say "--- plan"
on n1 quickmig plan bridged
[[ $(on n1 quickmig plan bridged --json | jq -r .to) == "$to" ]] ||
    die "not the only other node"
on n1 quickmig plan bridged --json | jq -e '.others == [] and
    any(.checks[]; .check == "pacemaker" and .ok)' >/dev/null ||
    die "what Pacemaker would do: $(on n1 quickmig plan bridged --json)"
on n1 crm configure colocation together inf: small bridged
cluster_idle
on n1 quickmig plan bridged --json | jq -e '.others | length == 1' >/dev/null ||
    die "small would go along: $(on n1 quickmig plan bridged --json)"
on n1 crm configure delete together
cluster_idle
code=0
on n1 quickmig plan bridged n1 || code=$?
[[ $code -eq 4 ]] || die "a plan for n1: exit code $code"
vm_remember bridged
on n1 quickmig plan bridged --script >"$QM_LAB_DIR/shared/move.sh"
on n1 sh "$SHARED/move.sh" || die "the plan's script"
vm_wait_node bridged "$to"
vm_same_boot bridged

say "--- move without a node"
surveyed
best=$(on n1 quickmig hosts small --json |
    jq -r '[.hosts[] | select(.eligible and (.here | not)) | .rating] | max')
from=$(vm_node small)
vm_remember small
# On a terminal it asks.
code=0
on n1 script --quiet --return --command "quickmig move small" /dev/null \
    <<<n >"$QM_LAB_DIR/asked" || code=$?
[[ $code -eq 4 ]] || die "asked, and no: exit code $code"
grep -zq "pause:.*Move it?" "$QM_LAB_DIR/asked" ||
    die "not asked: $(cat "$QM_LAB_DIR/asked")"
[[ $(vm_node small) == "$from" ]] || die "moved, although the answer was no"
on n1 script --quiet --return --command "quickmig move small" /dev/null <<<y ||
    die "quickmig move"
to=$(vm_node small)
[[ $to != "$from" ]] || die "small is where it was"
# What was told may be as old as the step that is worth telling.
[[ $(host small "$to" rating) -ge $((best - 10)) ]] ||
    die "$to is rated $(host small "$to" rating), the best $best"
vm_same_boot small

say "--- metrics"
metric() { # SAMPLE: its value
    grep -F "$1 " "$QM_LAB_DIR/metrics" | sed 's/.* //'
}
on n1 crm_resource --resource node --set-parameter metrics \
    --parameter-value /run/quickmig.prom >/dev/null
cluster_idle
counted() {
    on "$to" quickmigd --survey &&
        on "$to" cat /run/quickmig.prom >"$QM_LAB_DIR/metrics.raw" &&
        python3 "$QM_SRC/tests/cluster/openmetrics.py" \
            <"$QM_LAB_DIR/metrics.raw" >"$QM_LAB_DIR/metrics" &&
        [[ $(metric 'quickmig_pause_seconds_count{resource="small"}') -ge 1 ]]
}
lab_wait_until 60 counted || {
    counted || cat "$QM_LAB_DIR/metrics.raw"
    die "no metrics"
}
[[ $(on "$to" stat -c %a /run/quickmig.prom) == 644 ]] || die "not for all"
[[ $(metric 'quickmig_vm_here{resource="small"}') == 1 &&
    $(metric 'quickmig_vm_state{quickmig_vm_state="RUNNING",resource="small"}') == 1 &&
    $(metric 'quickmig_gate_state{disk="vda",quickmig_gate_state="open",resource="small"}') == 1 &&
    $(metric 'quickmig_gate_requests_total{disk="vda",operation="write",resource="small"}') -gt 0 &&
    $(metric 'quickmig_vm_generation{resource="small"}') == $(vm_record small generation) ]] ||
    die "metrics: $(cat "$QM_LAB_DIR/metrics")"
[[ $(on n1 quickmig history small --json | jq --arg n "$to" '[.entries[] |
    select(.node == $n and .from == "RESTORING")] | last | .pause_us') == \
    $(metric 'quickmig_last_pause_seconds{resource="small"}' | tr -d . |
        sed 's/^0*//') ]] || die "the pause: $(cat "$QM_LAB_DIR/metrics")"
[[ $(jq .storage_mbs <<<"$(on "$to" attrd_updater -n quickmig-facts -Q |
    sed -n "s/.*value=\"\(.*\)\".*/\1/p" | sed 's/&quot;/"/g')") != 0 ]] ||
    die "no rate of the storage"

say "--- the tutorial shows what the commands print"
tutorial() { # COMMAND: what it says that it prints
    sed -n "/^# $1\$/,/^\(#\|\`\`\`\)/p" "$QM_SRC/doc/tutorial.md" | sed '1d;$d'
}
words() { # of the first line, and what the others begin with
    sed -e '1s/  */ /g' -e '1!s/^ *\([^ ]*\).*/\1/' | sed 's/ *$//'
}
heading=$(tutorial 'quickmig hosts web' | head -n 1 | words)
[[ -n $heading && $(on n1 quickmig hosts small | tee "$QM_LAB_DIR/hosts" |
    head -n 1 | words) == "$heading" ]] ||
    die "the tutorial's hosts: $heading; really: $(cat "$QM_LAB_DIR/hosts")"
cat "$QM_LAB_DIR/hosts"
best=$(on n1 quickmig plan small --json | jq -r .to)
on n1 quickmig plan small "$best" >"$QM_LAB_DIR/plan"
cat "$QM_LAB_DIR/plan"
diff <(tutorial 'quickmig plan web' | words | tail -n +2) \
    <(words <"$QM_LAB_DIR/plan" | tail -n +2) || die "the tutorial's plan"

say "--- a resource that is gone leaves nothing"
on n1 crm --force configure delete huge >/dev/null 2>&1 ||
    on n1 crm --force configure delete eligible-huge huge >/dev/null
survey
! grep -q 'quickmig-[a-z]*-huge' \
    <<<"$(on n1 cibadmin --query --local --scope status)" ||
    die "attributes are left"
say "ok"
