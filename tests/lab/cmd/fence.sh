# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# The fence device: bmc runs outside of the nodes, as a BMC does; the agent
# fence_lab asks it through a socket in the lab directory.

bmc_start() {
    mkdir -p "$LAB_DIR/bmc"
    [[ -e $LAB_DIR/bmc/mode ]] || echo honest >"$LAB_DIR/bmc/mode"
    touch "$LAB_DIR/fence.log"
    rm -f "$LAB_DIR/bmc/sock"
    spawn_logged "$LAB_DIR/bmc/log" "$LAB_SRC/bmc" "$LAB_DIR" \
        "$(node_pid sw)" "$LAB_CMD" "$LABNS"
    wait_until 10 "the fence device, see $LAB_DIR/bmc/log" \
        test -S "$LAB_DIR/bmc/sock"
}

bmc_stop() {
    local pid
    pid=$("$LABNS" pid "$LAB_DIR/bmc/lock" 2>/dev/null) || return 0
    "$LABNS" kill "$pid" 5000
}

# The agent is in an overlay of /usr, so the machine's own stays untouched.
install_fence_agent() {
    mkdir -p "$LAB_DIR/overlay/usr/sbin"
    install -m 755 "$LAB_SRC/fence_lab" "$LAB_DIR/overlay/usr/sbin/fence_lab"
}

cmd_fencing() {
    local mode=${1:-}
    case $mode in
    honest | lie | fail) [[ $# -eq 1 ]] || die_usage "fencing $mode has no argument" ;;
    slow) [[ ${2:-} =~ ^[0-9]+(\.[0-9]+)?$ ]] || die_usage "fencing slow needs seconds"
        mode="slow $2" ;;
    *) die_usage "fencing needs honest, lie, fail or slow SECONDS" ;;
    esac
    echo "$mode" >"$LAB_DIR/bmc/mode.new"
    mv "$LAB_DIR/bmc/mode.new" "$LAB_DIR/bmc/mode"
    log "fencing: $mode"
}

cmd_fence_log() {
    cat "$LAB_DIR/fence.log"
}
