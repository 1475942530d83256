# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# The two networks. Each node has a veth pair per network: eth0 (cluster) and
# eth1 (storage) in the node, NODE-c and NODE-s on the switch's bridges.
# Cuts are the blackhole qdisc, limits are tbf: "in" (to the node) on the
# switch's end, "out" on the node's end. The state of a cable is a file, so
# that a cut cable stays cut when the node is powered off and on.

net_index() {
    case $1 in
    cluster) echo 0 ;;
    storage) echo 1 ;;
    esac
}

# The names given by the user: cluster, storage, all.
net_list() {
    case $1 in
    all) echo cluster storage ;;
    cluster | storage) echo "$1" ;;
    *) die_usage "no such network '$1' (cluster, storage or all)" ;;
    esac
}

# net_ns PID COMMAND...: in that network namespace only, so that PIDs given
# to ip are ours.
net_ns() {
    local pid=$1
    shift
    nsenter --target "$pid" --net -- "$@"
}

# Plugs both cables of NODE (whose PID 1 is $2) into the switch.
net_plug() {
    local node=$1 pid=$2 i sw net n port mac
    i=$(node_number "$node")
    sw=$(node_pid sw)
    for net in cluster storage; do
        n=$(net_index "$net")
        port=$node-${net:0:1}
        mac=$(printf '02:7%d:00:00:00:%02x' $((7 + n)) "$i")
        # The end of the former boot may take a moment to vanish.
        net_ns "$sw" ip link del "$port" 2>/dev/null || true
        net_ns "$sw" ip link add "$port" type veth \
            peer name "eth$n" address "$mac" netns "$pid"
        net_ns "$sw" ip link set "$port" master "br-${net:0:1}" up
        net_apply "$node" "$net"
    done
}

net_state_file() {
    echo "$(node_dir "$1")/net.$2"
}

# Reads IN, OUT (ok or cut) and RATE of one cable.
net_load() {
    IN=ok OUT=ok RATE=none
    # shellcheck source=/dev/null
    [[ ! -e $(net_state_file "$1" "$2") ]] || . "$(net_state_file "$1" "$2")"
}

net_save() {
    printf 'IN=%s OUT=%s RATE=%s\n' "$IN" "$OUT" "$RATE" \
        >"$(net_state_file "$1" "$2")"
}

# Bytes per second of a rate as tc writes it.
rate_bytes() {
    local n unit
    [[ $1 =~ ^([0-9]+)(bit|kbit|mbit|gbit)$ ]] || return 1
    n=${BASH_REMATCH[1]} unit=${BASH_REMATCH[2]}
    case $unit in
    kbit) n=$((n * 1000)) ;;
    mbit) n=$((n * 1000000)) ;;
    gbit) n=$((n * 1000000000)) ;;
    esac
    echo $((n / 8))
}

# net_shape PID DEVICE ok|cut RATE
net_shape() {
    local bytes burst
    if [[ $3 == cut ]]; then
        net_ns "$1" tc qdisc replace dev "$2" root blackhole
    elif [[ $4 != none ]]; then
        bytes=$(rate_bytes "$4")
        burst=$((bytes / 100 > 20000 ? bytes / 100 : 20000))
        net_ns "$1" tc qdisc replace dev "$2" root tbf \
            rate "$4" burst "$burst" latency 100ms
    else
        net_ns "$1" tc qdisc del dev "$2" root 2>/dev/null || true
    fi
}

# Makes the cable be as its state file says.
net_apply() {
    local node=$1 net=$2 pid sw IN OUT RATE
    pid=$(node_pid "$node") || return 0
    sw=$(node_pid sw)
    net_load "$node" "$net"
    net_shape "$sw" "$node-${net:0:1}" "$IN" "$RATE"
    net_shape "$pid" "eth$(net_index "$net")" "$OUT" "$RATE"
}

# cable NODE NETS ASSIGNMENT...: changes the state of cables, e.g. IN=cut.
cable() {
    local node=$1 nets=$2 net change IN OUT RATE
    shift 2
    for net in $nets; do
        net_load "$node" "$net"
        for change; do
            printf -v "${change%%=*}" %s "${change#*=}"
        done
        net_save "$node" "$net"
        net_apply "$node" "$net"
        log "cable $node $net: in=$IN out=$OUT rate=$RATE"
    done
}

# The switch itself: cables cut one after the other are several partitions in a
# row, and so are cables healed.
bridges() { # up|down NETS
    local net sw
    sw=$(need_node sw)
    for net in $2; do
        net_ns "$sw" ip link set "br-${net:0:1}" "$1"
        log "switch $net: $1"
    done
}

cmd_cut() {
    local nets
    [[ $# -ge 2 ]] || die_usage "cut needs NODE and a network"
    nets=$(net_list "$2")
    if [[ $1 == sw ]]; then
        [[ $# -eq 2 ]] || die_usage "the switch is cut for all, both ways"
        bridges down "$nets"
        return
    fi
    node_number "$1" >/dev/null
    case ${3:-both} in
    both) cable "$1" "$nets" IN=cut OUT=cut ;;
    --in) cable "$1" "$nets" IN=cut ;;
    --out) cable "$1" "$nets" OUT=cut ;;
    *) die_usage "unknown option '$3'" ;;
    esac
}

cmd_heal() {
    local nets
    [[ $# -ge 1 ]] || die_usage "heal needs NODE"
    nets=$(net_list "${2:-all}")
    if [[ $1 == sw ]]; then
        bridges up "$nets"
        return
    fi
    node_number "$1" >/dev/null
    cable "$1" "$nets" IN=ok OUT=ok
}

cmd_limit() {
    local nets
    [[ $# -ge 2 ]] || die_usage "limit needs NODE and a rate"
    node_number "$1" >/dev/null
    [[ $2 == none ]] || rate_bytes "$2" >/dev/null ||
        die_usage "not a rate: '$2' (e.g. 100mbit)"
    nets=$(net_list "${3:-all}")
    cable "$1" "$nets" RATE="$2"
}

# The watch runs in sw until "lab down", or until its pid is killed.
cmd_ping() {
    local address=${1:-} interval=20 sw file
    [[ -n $address ]] || die_usage "ping needs an address"
    if [[ ${2:-} == --interval ]]; then interval=${3:-}; fi
    [[ $interval =~ ^[1-9][0-9]*$ ]] || die_usage "--interval needs ms"
    sw=$(need_node sw)
    mkdir -p "$LAB_DIR/ping"
    file=$LAB_DIR/ping/$address.$(date +%s%N).log
    spawn_logged "$LAB_DIR/ping/errors.log" "$LABNS" exec "$sw" \
        "$LAB_SRC/ping-watch" watch "$address" "$interval" "$file"
    wait_until 5 "the ping watch of $address" test -e "$file"
    echo "$file"
}
