# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# Life and death of the switch and of nodes.

# The switch is PID 1 of the whole lab: see src/labns.c.
sw_start() {
    local pid
    mkdir -p "$LAB_DIR/sw"
    rm -f "$LAB_DIR/sw/booted"
    pid=$("$LABNS" spawn "$LAB_DIR/sw/lock" "$LAB_SRC/sw-boot" "$LAB_DIR" \
        2>>"$LAB_DIR/sw/boot.log")
    record_pid "$LAB_DIR/sw/pid" "$pid"
    wait_until 10 "the switch, see $LAB_DIR/sw/boot.log" \
        test -e "$LAB_DIR/sw/booted" || return 1
    log "sw: up, PID $pid"
}

# Powers a node on: returns when its daemons but pacemaker were started.
node_boot() {
    local node=$1 dir pid sw
    dir=$(node_dir "$node")
    mkdir -p "$dir"
    sw=$(need_node sw)
    if pid=$(node_pid "$node"); then
        die "$node is running already"
    fi
    cat /proc/sys/kernel/random/uuid >"$dir/boot_id.new"
    mv "$dir/boot_id.new" "$dir/boot_id"
    rm -f "$dir/booted"
    pid=$("$LABNS" spawn --into "$sw" "$dir/lock" \
        "$LAB_SRC/node-boot" "$LAB_DIR" "$node" 2>>"$dir/boot.log")
    record_pid "$dir/pid" "$pid"
    net_plug "$node" "$pid"
    log "$node: powered on, PID $pid, boot $(<"$dir/boot_id")"
}

# Called with the node's daemons on their way.
node_wait_booted() {
    local dir
    dir=$(node_dir "$1")
    wait_until 60 "boot of $1, see $dir/boot.log" node_booted "$1"
}

node_booted() {
    local dir
    dir=$(node_dir "$1")
    [[ -e $dir/booted && $(<"$dir/booted") == "$(<"$dir/boot_id")" ]]
}

# Only one start of a node at a time (fence device, user).
cmd_start() {
    local node=${1:-} wait=yes fd
    [[ -n $node ]] || die_usage "start needs NODE"
    [[ ${2:-} != --no-wait ]] || wait=no
    node_number "$node" >/dev/null
    mkdir -p "$(node_dir "$node")"
    exec {fd}>"$(node_dir "$node")/start.lock"
    flock "$fd"
    if node_pid "$node" >/dev/null; then
        [[ $wait == no ]] || die "$node is running already"
        return 0
    fi
    ( # none of the daemons may hold the lock
        exec {fd}>&-
        node_boot "$node"
        node_wait_booted "$node"
        [[ $PACEMAKER == no ]] || pacemaker_start "$node"
    )
    exec {fd}>&-
    [[ $PACEMAKER == no || $wait == no ]] || cluster_wait_member "$node"
    say "$node: started"
}

# Power loss. Returns when nothing of the node runs any more.
node_kill() {
    local pid
    pid=$(node_pid "$1") || return 0
    "$LABNS" kill "$pid" 20000
}

cmd_kill() {
    [[ $# -eq 1 ]] || die_usage "kill needs NODE"
    node_number "$1" >/dev/null
    log "$1: power loss"
    node_kill "$1"
}

# kill(-1) spares PID 1 and itself, and is atomic against forks.
cmd_freeze() {
    local pid
    [[ $# -eq 1 ]] || die_usage "freeze needs NODE"
    pid=$(need_node "$1")
    log "$1: frozen"
    "$LABNS" exec "$pid" bash -c 'kill -STOP -1'
    kill -STOP "$pid"
}

cmd_thaw() {
    local pid
    [[ $# -eq 1 ]] || die_usage "thaw needs NODE"
    pid=$(need_node "$1")
    kill -CONT "$pid"
    "$LABNS" exec "$pid" bash -c 'kill -CONT -1'
    log "$1: thawed"
}

cmd_exec() {
    local pid
    [[ $# -ge 2 ]] || die_usage "exec needs NODE and a command"
    pid=$(need_node "$1")
    shift
    exec "$LABNS" exec "$pid" "$@"
}

cmd_shared() {
    mkdir -p "$LAB_DIR/shared"
    echo /srv/quickmig
}

# libvirtd's PID inside the node.
libvirtd_pid() {
    # shellcheck disable=SC2016
    in_node "$1" bash -c 'p=$(</run/libvirtd.pid) && kill -0 $p && echo $p' \
        2>/dev/null
}

libvirtd_gone() {
    ! libvirtd_pid "$1"
}

libvirtd_signal() {
    local pid
    pid=$(libvirtd_pid "$1") || die "libvirtd is not running on $1"
    in_node "$1" kill "-$2" "$pid"
}

cmd_libvirtd() {
    [[ $# -eq 2 ]] || die_usage "libvirtd needs NODE and what to do"
    local node=$1
    need_node "$node" >/dev/null
    log "$node: libvirtd $2"
    case $2 in
    pid) libvirtd_pid "$node" ;;
    start) in_node "$node" libvirtd -d -p /run/libvirtd.pid ;;
    stop) libvirtd_signal "$node" TERM
        wait_until 20 "end of libvirtd on $node" libvirtd_gone "$node" ;;
    kill) libvirtd_signal "$node" KILL
        wait_until 5 "end of libvirtd on $node" libvirtd_gone "$node" ;;
    restart) cmd_libvirtd "$node" stop
        cmd_libvirtd "$node" start ;;
    freeze) libvirtd_signal "$node" STOP ;;
    thaw) libvirtd_signal "$node" CONT ;;
    *) die_usage "libvirtd: unknown '$2'" ;;
    esac
}
