# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# shellcheck shell=bash
#
# For tests of quickmig-gate(8), sourced; on top of functions.sh.
#
#   begin "$@"           isolates, starts a target with LUN 1 (64 MiB), makes
#                        a vault whose record names node 1 as owner, RUNNING,
#                        generation 5; afterwards /run is the work directory
#   tool COMMAND...      gate-tool
#   gate [JSON...]       starts a gate for vda with more configuration
#   hold, ready          acquires generation 5; opens it too
#   state WANTED         is the gate in this state?
#   field NAME, field_is NAME VALUE, field_over NAME VALUE
#                        of the gate's status
#   other COMMAND...     lun-tool as node 2, on LUN 1
#   control JSON         asks the control socket
#   NBD, SOCK, CONTROL   where the gate serves

# shellcheck source-path=SCRIPTDIR source=functions.sh
. "${QM_SRC:?the source directory}/tests/functional/functions.sh" || exit 1

export QM_GATE_PROGRAM=${QM_BUILD:?the build directory}/src/gate/quickmig-gate
export QM_RUN_DIR=/run/quickmig QM_LOG_FILE=/run/gate.log
TOOL=$QM_BUILD/tests/functional/gate-tool
LUN_TOOL=$QM_BUILD/tests/functional/lun-tool
UUID=00000000-0000-0000-0000-000000000001
IQN=iqn.2026-01.org.example:t
SOCK=$QM_RUN_DIR/gate/$UUID-vda.sock
CONTROL=$QM_RUN_DIR/gate/$UUID-vda.control
NBD="nbd+unix:///?socket=$SOCK"
export SOCK CONTROL NBD

begin() {
    isolate "$@"
    requires qemu-io qemu-img nbdinfo nbdcopy python3 jq
    requires_built src/gate/quickmig-gate tests/functional/gate-tool \
        tests/functional/lun-tool
    cd /run || fail "no /run"
    mkdir -p /etc/iscsi
    echo "InitiatorName=iqn.2026-01.org.example:n1" >/etc/iscsi/initiatorname.iscsi
    tgt_start
    luns
    record RUNNING 1 5
    cleanup_fn log_if_failed
}

luns() {
    tgt_target 1 "$IQN"
    tgt_lun 1 1 /run/lun1 64M
}

log_if_failed() {
    echo "--- gate.log"
    tail -n 40 /run/gate.log
}

tool() {
    "$TOOL" "$@"
}

record() { # STATE NODE GENERATION
    tool record /run/vault "$@" || fail "cannot write the record"
}

start() {
    tool start vda "$TGT_PORTAL" "$IQN" 1 /run/vault 1 0
}

configuration() { # MORE
    echo "{\"vm_uuid\":\"$UUID\",\"vm_name\":\"vm\",\"disk\":\"vda\",
        \"portal\":\"$TGT_PORTAL\",\"iqn\":\"$IQN\",\"lun\":${LUN:-1},
        \"vault\":\"/run/vault\",\"node_id\":1,\"qemu_uid\":0,
        \"qemu_gid\":0,\"check_quorum\":false,\"reconnect_limit_s\":20
        ${1:+,$1}}"
}

gate() { # MORE
    configuration "${1:-}" | "$QM_GATE_PROGRAM" >report ||
        fail "no gate: $(cat report)"
}

hold() {
    tool acquire vda 5 hold || fail "cannot acquire"
}

ready() {
    hold
    tool open vda || fail "cannot open"
}

stop() {
    tool stop vda || fail "cannot stop the gate"
}

control() {
    tool ask "$CONTROL" "$1"
}

field() {
    control '{"do":"status"}' | jq -r ".$1"
}

field_is() { # NAME VALUE
    [[ $(field "$1") == "$2" ]]
}

field_over() { # NAME VALUE
    [[ $(field "$1") -gt $2 ]]
}

state() {
    [[ $(field state) == "$1" ]]
}

other() {
    LUN_TOOL_INITIATOR=iqn.2026-01.org.example:n2 QM_RUN_DIR=/run/other \
        "$LUN_TOOL" "iscsi://$TGT_PORTAL/$IQN/1" 2 "$@"
}

io() { # QEMU-IO COMMAND...
    local args=() c
    for c in "$@"; do
        args+=(-c "$c")
    done
    qemu-io -f raw "${args[@]}" "$NBD"
}

gone() { # PID
    ! kill -0 "$1" 2>/dev/null
}

logged() { # PATTERN
    grep -Eq "$1" /run/gate.log
}
