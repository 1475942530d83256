#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# Every example of doc/policies.md, by crmsh and by pcs, on examples/cluster.crm
# with three nodes; what Pacemaker makes of it is asked of crm_simulate, with
# the example and, so that the check can fail, without.

# shellcheck source-path=SCRIPTDIR source=cli-functions.sh
. "${QM_SRC:?the source directory}/tests/functional/cli-functions.sh" || exit 1
requires crm pcs cibadmin crm_simulate xmllint
begin "$@"

agent=$QM_BUILD/resource-agents/VirtualMachine
ocf=$(pkg-config --variable=ocfdir pacemaker)
mkdir -p /run/ocf /run/ocf-work /var/log/crmsh bin
mount -t overlay overlay \
    -o "lowerdir=$ocf,upperdir=/run/ocf,workdir=/run/ocf-work" "$ocf"
mkdir -p "$ocf/quickmig"
ln -s "$agent" "$ocf/quickmig/VirtualMachine"
ln -s "${agent%/*}/Node" "$ocf/quickmig/Node"
# shellcheck disable=SC2016 # the script's own variables
printf '#!/bin/sh\nexec "%s" -f "$CIB_file" "$@"\n' "$(command -v pcs)" >bin/pcs
chmod +x bin/pcs
export PATH=$PWD/bin:$PATH

cib() { # COMMAND...: on the CIB in question
    CIB_file=$PWD/$CIB "$@" >out 2>&1 || fail "$*: $(<out)"
}

# Every VM runs where Pacemaker would start it: web and db on nodes of their own.
base() {
    CIB=start.cib
    cibadmin --empty >$CIB
    cib cibadmin --create -o resources -X \
        '<primitive id="fence" class="stonith" type="fence_dummy"/>'
    CIB_file=$PWD/$CIB crm configure load update \
        "$QM_SRC/examples/cluster.crm" >out 2>&1
    crm_simulate -x $CIB --quorum=1 -u n1 -u n2 -u n3 -S -O base.cib >out 2>&1 ||
        fail "no cluster on paper: $(<out)"
    CIB=base.cib
    WEB=$(where web)
    DB=$(where db)
    [[ $WEB == n? && $DB == n? && $WEB != "$DB" ]] ||
        fail "web on '$WEB', db on '$DB': $(<simulated)"
}

simulate() { # OPTION...
    crm_simulate -x "$CIB" --quorum=1 -S "$@" >simulated 2>&1 ||
        fail "crm_simulate $*: $(<simulated)"
}

# Where it is in the end: a node, Stopped.
where() { # VM [OPTION...]
    simulate "${@:2}"
    sed -n '/^Revised Cluster Status/,$p' simulated |
        sed -n "s/^ *\* $1\t.*:VirtualMachine):\t *\(Started \|\)\([^ ]*\).*/\2/p"
}

expect_on() { # WHAT NODE VM [OPTION...]
    local at
    at=$(where "${@:3}")
    [[ $at == "$2" ]] ||
        fail "$HEAD, $TOOL: $1: $3 is on '$at', not on '$2': $(<simulated)"
}

# The commands of a section, for one of the tools.
commands() { # HEADING TOOL
    awk -v head="## $1" -v open="\`\`\`$2" '
        /^## / { here = ($0 == head) }
        here && $0 == open { on = 1; next }
        /^```$/ { on = 0 }
        on' "$QM_SRC/doc/policies.md"
}

apply() {
    local text
    text=$(commands "$HEAD" "$TOOL")
    [[ -n $text ]] || fail "no $TOOL commands in \"$HEAD\""
    CIB_file=$PWD/$CIB sh -e -c "$text" >out 2>&1 ||
        fail "$HEAD, $TOOL: $(<out)"
    ! grep -E '^(ERROR|Error)' out || fail "$HEAD, $TOOL complains: $(<out)"
}

attribute() { # NODE NAME VALUE: transient
    local set="<transient_attributes id=\"$1\"><instance_attributes \
id=\"status-$1\"><nvpair id=\"status-$1-$2\" name=\"$2\" value=\"$3\"/>\
</instance_attributes></transient_attributes>"
    cib cibadmin --modify --allow-create -o status -X \
        "<node_state id=\"$1\" uname=\"$1\">$set</node_state>"
}

memory() { # NODE MIB
    cib crm_attribute --node "$1" --utilization --name memory --update "$2"
    cib crm_attribute --node "$1" --utilization --name cpu --update 8
}

another() { # NODE...: one that is none of these
    local n
    for n in n1 n2 n3; do
        [[ " $* " == *" $n "* ]] || echo $n
    done | head -n 1
}

# --- what each section says; called with the example (yes) and without (no)

stay() {
    attribute "$(another "$WEB" "$DB")" quickmig-rating-web 100
    if [[ $1 == no ]]; then
        cib crm configure rsc_defaults resource-stickiness=0
        expect_on "nothing keeps it" "$(another "$WEB" "$DB")" web
    else
        expect_on "it stays" "$WEB" web
    fi
}

home() {
    local n=$WEB
    [[ $1 == no ]] || n=n1
    expect_on "home is n1" "$n" web
    expect_on "n1 is away" "$(another n1 "$DB")" web -d n1
}

first() {
    local n
    cib cibadmin --delete -o constraints -X \
        '<rsc_colocation id="db-not-with-web"/>'
    for n in n1 n2 n3; do memory $n 100; done
    memory "$WEB" 5000
    if [[ $1 == no ]]; then
        expect_on "nobody counts" "$DB" db
    else
        expect_on "room for one" "$WEB" db
        expect_on "room for one" Stopped web
    fi
}

again() {
    local n=$WEB
    attribute "$WEB" "fail-count-web#monitor_10000" 2
    expect_on "two failures" "$WEB" web
    attribute "$WEB" "fail-count-web#monitor_10000" 3
    [[ $1 == no ]] || n=$(another "$WEB" "$DB")
    expect_on "three failures" "$n" web
}

after() {
    CIB=start.cib.$1
    simulate -u n1 -u n2 -u n3
    sed -n 's/.*Resource action: *\(web\|db\|db-needs-time\) *start on.*/\1/p' \
        simulated | xargs >order
    if [[ $1 == no ]]; then
        ! grep -q needs-time order || fail "$HEAD: $(<order)"
    else
        grep -qx "db db-needs-time web" order ||
            fail "$HEAD, $TOOL: the order is: $(<order): $(<simulated)"
    fi
}

apart() {
    if [[ $1 == no ]]; then
        expect_on "one node is left" "$WEB" db -d "$DB" \
            -d "$(another "$WEB" "$DB")"
    else
        simulate -d "$DB" -d "$(another "$WEB" "$DB")"
        [[ $(grep -c "VirtualMachine):.*Stopped" <(sed -n \
            '/^Revised/,$p' simulated)) -eq 1 ]] ||
            fail "$HEAD, $TOOL: not one of them: $(<simulated)"
    fi
}

shutdown() {
    attribute "$WEB" shutdown "$(date +%s)"
    simulate
    if [[ $1 == no ]]; then
        grep -q "web *migrate_to on $WEB" simulated ||
            fail "$HEAD: no move: $(<simulated)"
    else
        grep -q "web *stop on $WEB" simulated ||
            fail "$HEAD, $TOOL: not stopped: $(<simulated)"
        expect_on "it is locked" Stopped web
    fi
}

hands() {
    cib crm_attribute --node "$WEB" --name standby --update on
    simulate
    if [[ $1 == no ]]; then
        grep -q "web *migrate_to on $WEB" simulated ||
            fail "$HEAD: no move: $(<simulated)"
    else
        ! grep -q "Resource action: *web" simulated ||
            fail "$HEAD, $TOOL: touched: $(<simulated)"
    fi
}

much() {
    [[ $1 == no ]] || CIB_file=$PWD/$CIB crm_attribute -t crm_config \
        -n migration-limit -q -G | grep -qx 2 || fail "$HEAD, $TOOL: not set"
}

section() { # HEADING CHECK
    HEAD=$1
    for TOOL in crm pcs; do
        cp base.cib base.cib.no
        cp start.cib start.cib.no
        CIB=base.cib.no
        "$2" no
        cp base.cib base.cib.yes
        CIB=base.cib.yes
        [[ $2 != much ]] ||
            cib crm_attribute -t crm_config -n migration-limit -D
        if [[ $2 == after ]]; then
            cp start.cib start.cib.yes
            CIB=start.cib.yes
        fi
        apply
        "$2" yes
    done
    echo "ok: $HEAD"
    SECTIONS+=("$HEAD")
}

base
SECTIONS=()
section "Stay where it is" stay
section "Home node" home
section "The important ones first" first
section "How often to try again" again
section "One after the other, with a pause" after
section "Apart" apart
section "A node that is shut down" shutdown
section "Hands off one VM" hands
section "How much at a time" much
[[ $(printf '%s\n' "${SECTIONS[@]}") == \
    "$(sed -n 's/^## //p' "$QM_SRC/doc/policies.md")" ]] ||
    fail "a section has no check"
echo "PASS"
