# shellcheck shell=bash disable=SC2034 # used by the other parts
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# up, down, status.

# Two labs may start at once: one builds, the other waits.
build_tools() {
    local fd
    mkdir -p "$LAB_CACHE"
    exec {fd}>"$LAB_CACHE/lock"
    flock "$fd"
    if [[ ! -x $LABNS || $LAB_SRC/src/labns.c -nt $LABNS ]]; then
        gcc -std=gnu11 -O2 -Wall -Wextra -Werror -static -o "$LABNS.new" \
            "$LAB_SRC/src/labns.c"
        mv "$LABNS.new" "$LABNS"
    fi
    "$LAB_SRC/guest/build" "$LAB_CACHE/guest" {fd}>&-
    exec {fd}>&-
}

# QEMU runs as libvirt-qemu and must reach guest, consoles and shared files.
prepare_dir() {
    mkdir -p "$LAB_DIR"/{nodes,luns,console,shared,guest}
    [[ -e $LAB_DIR/lab.id ]] || head -c 4 /dev/urandom | od -An -tx4 | tr -d ' ' \
        >"$LAB_DIR/lab.id"
    LAB_ID=$(<"$LAB_DIR/lab.id")
    chmod 755 "$LAB_DIR" "$LAB_DIR/guest"
    chmod 777 "$LAB_DIR/console"
    cp "$LAB_CACHE"/guest/{vmlinux,initrd} "$LAB_DIR/guest/"
    rm -rf "$LAB_DIR/capabilities"
    [[ ! -d $LAB_CACHE/capabilities ]] ||
        cp -r "$LAB_CACHE/capabilities" "$LAB_DIR/capabilities"
    local parent=$LAB_DIR
    while [[ $parent != / ]]; do
        [[ $(stat -c %A "$parent") == *[xt] ]] ||
            die "$parent must be searchable for QEMU's user: chmod o+x it"
        parent=$(dirname "$parent")
    done
}

parse_up() {
    NODES=3 OVERLAY='' TOKEN=1000 PACEMAKER=yes AUTO_REBOOT=no KEEP=no
    while [[ $# -gt 0 ]]; do
        case $1 in
        --nodes | --overlay | --token)
            [[ $# -ge 2 ]] || die_usage "$1 needs a value"
            case $1 in
            --nodes) NODES=$2 ;;
            --overlay) OVERLAY=$2 ;;
            --token) TOKEN=$2 ;;
            esac
            shift ;;
        --no-pacemaker) PACEMAKER=no ;;
        --auto-reboot) AUTO_REBOOT=yes ;;
        --keep) KEEP=yes ;;
        *) die_usage "up: unknown option '$1'" ;;
        esac
        shift
    done
    [[ $NODES =~ ^[1-9][0-9]?$ ]] || die_usage "--nodes: not 1 to 99: '$NODES'"
    [[ $TOKEN =~ ^[1-9][0-9]+$ ]] || die_usage "--token needs ms"
    [[ -z $OVERLAY ]] || OVERLAY=$(cd "$OVERLAY" 2>/dev/null && pwd -P) ||
        die "no such directory for --overlay"
}

# libvirtd answers, and has probed QEMU on every node.
warm_up() {
    local node pids=() pid
    for node in $(node_names); do
        in_node "$node" virsh -q domcapabilities --virttype qemu \
            --arch x86_64 >/dev/null &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || die "libvirtd does not answer"; done
    if [[ ! -d $LAB_DIR/capabilities ]]; then
        rm -rf "$LAB_CACHE/capabilities.$$"
        in_node n1 cp -r /var/cache/libvirt/qemu/capabilities \
            "$LAB_DIR/capabilities"
        cp -r "$LAB_DIR/capabilities" "$LAB_CACHE/capabilities.$$"
        rm -rf "$LAB_CACHE/capabilities"
        mv -T "$LAB_CACHE/capabilities.$$" "$LAB_CACHE/capabilities"
    fi
}

up_nodes() {
    local node
    for node in $(node_names); do node_boot "$node"; done
    for node in $(node_names); do node_wait_booted "$node"; done
    if [[ $PACEMAKER == yes ]]; then
        wait_until 30 "corosync membership" corosync_complete
        for node in $(node_names); do pacemaker_start "$node"; done
    fi
    warm_up
    if [[ $PACEMAKER == yes ]]; then
        wait_until 90 "the cluster: all nodes online, a DC, quorum" \
            cluster_complete
        cluster_configure
    fi
}

# Nothing half-done stays behind a failure.
up_failed() {
    local rc=$?
    trap - EXIT
    [[ $rc -ne 0 ]] || return 0
    say "up failed, logs are in $LAB_DIR"
    [[ $KEEP == yes ]] || lab_end
    exit "$rc"
}

cmd_up() {
    parse_up "$@"
    if [[ -e $LAB_DIR/lab.id ]] && node_pid sw >/dev/null 2>&1; then
        die "$LAB_DIR is up already"
    fi
    build_tools
    prepare_dir
    save_config
    # New cables and an honest fence device; the nodes' disks stay.
    rm -f "$LAB_DIR"/nodes/*/net.* "$LAB_DIR/bmc/mode"
    log "up: id $LAB_ID, $NODES nodes, token $TOKEN, overlay '${OVERLAY}'"
    trap up_failed EXIT
    trap 'exit 130' INT TERM HUP
    write_corosync_conf
    install_fence_agent
    sw_start
    target_start
    bmc_start
    up_nodes
    trap - EXIT
    say "up: $NODES node(s) in $LAB_DIR"
}

# The end of the switch's PID 1 is that of all processes in the lab, and with
# them of their mounts, network namespaces and cables.
lab_end() {
    local pid
    [[ -x $LABNS ]] || die "$LABNS is gone: run 'lab up' of another lab first"
    bmc_stop
    if pid=$(node_pid sw); then
        "$LABNS" kill "$pid" 30000
    fi
    log "down"
}

cmd_down() {
    case ${1:-} in
    '' | --purge) ;;
    *) die_usage "down: unknown option '$1'" ;;
    esac
    [[ ! -d $LAB_DIR/sw ]] || lab_end
    if [[ ${1:-} == --purge ]]; then
        rm -rf --one-file-system "$LAB_DIR"
    fi
}

cmd_status() {
    local node pid
    echo "lab $LAB_ID in $LAB_DIR"
    for node in sw $(node_names); do
        if pid=$(node_pid "$node"); then
            echo "$node: up, PID $pid"
        else
            echo "$node: down"
        fi
    done
    local net IN OUT RATE
    for node in $(node_names); do
        for net in cluster storage; do
            net_load "$node" "$net"
            [[ $IN$OUT$RATE == okoknone ]] ||
                echo "$node $net: in=$IN out=$OUT rate=$RATE"
        done
    done
    echo "fencing: $(cat "$LAB_DIR/bmc/mode" 2>/dev/null || echo -)"
    cmd_lun list
    if [[ $PACEMAKER == yes ]]; then
        for node in $(node_names); do
            if in_node "$node" crm_mon -1 2>/dev/null; then break; fi
        done
    fi
}
