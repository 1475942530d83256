# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# For tests/crash/run, sourced after tests/cluster/lib.sh: one case, from the
# order to die up to the verdict.
#
#   crash_up                lab, quickmigd's clone, the VM
#   crash_case SCENARIO SIDE PROGRAM POINT KEEPER HOW
#                           sets OUTCOME and VERDICT: "ok" or what is wrong
#
# The VM stays where a case leaves it: its node is the next case's source.

VM=crash1
HIT_LIMIT=60     # seconds until the point is reached
SETTLE_LIMIT=120 # until the VM runs as it should, and nothing else does
LEFT_LIMIT=40    # until leftovers are gone, the VM being well

# --- the lab

crash_up() {
    local second
    # shellcheck disable=SC2034 # for lib.sh
    LAB_UP_OPTIONS=(--auto-reboot) MONITOR_INTERVAL=3s
    cluster_up 3
    node_daemons_up
    DAEMONS=yes MODE=auto
    second=$(lab lun create "$VM-disk2" 16M)
    VAULT_SIZE=640M vm_create "$VM" lun -- --ip 10.77.0.101 --live-safe \
        --disk-url "$second"
    vm_start "$VM"
    RUNS_ON=$(vm_node "$VM")
}

_daemons_run() {
    local node
    for node in $NODES; do
        daemon_runs "$node" || return 1
    done
}

# One that the last case killed is back after Pacemaker's next monitor.
scenario_needs() { # SCENARIO
    scenario_set "$1"
    [[ $DAEMONS == no ]] || lab_wait_until 60 _daemons_run ||
        die "quickmigd does not run on all nodes"
}

# Whether quickmigd runs, and how VMs are moved.
scenario_set() { # SCENARIO
    local daemons=no mode=quick role
    [[ $1 != live && $1 != ahead ]] || daemons=yes mode=live
    [[ $MODE/$DAEMONS != "$mode/$daemons" ]] || return 0
    if [[ $MODE != "$mode" ]]; then
        ask_cluster crm_resource -r "$VM" -p mode -v "$mode"
        MODE=$mode
    fi
    if [[ $DAEMONS != "$daemons" ]]; then
        role=$([[ $daemons == yes ]] && echo Started || echo Stopped)
        ask_cluster crm_resource -r node-clone --meta -p target-role -v "$role"
        DAEMONS=$daemons
    fi
    cluster_idle
}

alive() { # NODE
    [[ -n $(lab exec "$1" echo yes 2>/dev/null) ]]
}

all_members() {
    local node
    for node in $NODES; do
        [[ $(on "$node" crm_node -p 2>/dev/null | wc -w) == 3 ]] || return 1
    done
}

# --- what there is

qemus_on() { # NODE
    on "$1" pgrep -c -f "qemu-system.*guest=$VM," 2>/dev/null || true
}

gates_on() { # NODE
    on "$1" pgrep -c -x quickmig-gate 2>/dev/null || true
}

hits() {
    cat "$QM_LAB_DIR"/nodes/*/log/quickmig/crash.log 2>/dev/null | wc -l
}

fencings() {
    grep -c 'event=done .*verdict=ok' "$QM_LAB_DIR/fence.log" || true
}

fenced_since() { # LINE
    tail -n +$(($1 + 1)) "$QM_LAB_DIR/fence.log" |
        sed -n 's/.*event=done .*node=\([^ ]*\) .*verdict=ok/\1/p' | sort -u |
        tr '\n' ' '
}

# Ticks written to the console since byte $1, whose guest is alive.
_ticks_since() { # BYTE COUNT
    [[ $(tail -c +$(($1 + 1)) "$(guest_console "$VM")" |
        grep -ac '^TICK boot=.* disk=') -ge $2 ]]
}

# The console shows every copy of the guest that ran.  Boots do not come back,
# and nothing that was told as synced is forgotten.  A guest that is restored
# once more says "repeated N": ticks that were there before.  Two copies at a
# time go back again and again.
_ticks_in_order() { # BYTE
    tail -c +$(($1 + 1)) "$(guest_console "$VM")" | tr -d '\r' |
        grep -a '^TICK boot=.* disk=[0-9]*,[0-9]*$' | awk '
        { boot = $2; sub("boot=", "", boot); n = $3; sub("n=", "", n)
          split($NF, d, "[=,]") }
        boot != last { if (seen[boot]++) { again = 2
                           print "boot " boot " came back"; exit }
                       last = boot; ln = a = b = 0 }
        n + 0 <= ln { if (again++) { print "two copies at a time"; exit }
                      told = "repeated " ln - n + 1 }
        d[2] + 0 < a || d[3] + 0 < b {
            again = 2
            print "synced writes were forgotten: " a "," b " then " $NF; exit }
        { ln = n + 0; a = d[2] + 0; b = d[3] + 0 }
        END { if (again == 1) print told }'
}

# One copy, its gates, nothing elsewhere.  STATE tells what is missing.
_well() {
    local node qemus total=0 where='' left=''
    for node in $NODES; do
        alive "$node" || {
            STATE="$node is down"
            return 1
        }
        qemus=$(qemus_on "$node")
        total=$((total + qemus))
        if [[ $qemus -gt 0 ]]; then
            where=$node
        elif [[ $(gates_on "$node") -gt 0 ]]; then
            left+="a gate on $node "
        fi
    done
    RUNS_ON=$where
    [[ $total == 1 ]] || {
        STATE="$total copies"
        return 1
    }
    [[ $(gates_on "$where") == 2 ]] || {
        STATE="$(gates_on "$where") gates on $where"
        return 1
    }
    LEFTOVER=$left
    STATE="no tick on $where"
    _ticking || return 1
    STATE="$left"
    [[ -z $left ]]
}

_ticking() {
    local at
    at=$(stat -c %s "$(guest_console "$VM")")
    lab_wait_until 2 _ticks_since "$at" 3 2>/dev/null
}

_record_right() {
    local record
    record=$(on "$RUNS_ON" quickmig status --json "$VM" |
        jq -r '.vms[0] | .state + " " + .owner') || return 1
    STATE="record: $record"
    [[ $record == "RUNNING $RUNS_ON" ]]
}

quiet() {
    for _ in 1 2 3; do
        wait_for_cluster 30 dc_idle 2>/dev/null || return 1
        sleep 0.05 # between two looks: what follows may be about to begin
    done
}

_settled() {
    all_members || {
        STATE="not all nodes are members"
        return 1
    }
    quiet || {
        STATE="the cluster does not come to rest"
        return 1
    }
    _well && _record_right
}

# --- one case

aim() { # NODE POINT PROGRAM HOW
    # shellcheck disable=SC2016 # for the node's shell
    on "$1" sh -c 'echo "$1 $2 $3" >/run/quickmig/crash.new &&
        mv /run/quickmig/crash.new /run/quickmig/crash' - "$2" "$3" "$4"
}

disarm() {
    local node
    for node in $NODES; do
        on "$node" rm -f /run/quickmig/crash 2>/dev/null || true
    done
}

# Where it goes when nothing else says so; weaker than staying.
prefer() { # NODE
    on "$OTHER" cibadmin --modify --allow-create --scope constraints \
        --xml-text "<rsc_location id=\"crash-pref\" rsc=\"$VM\" node=\"$1\"
            score=\"50\"/>" || die "cibadmin"
}

set_role() { # ROLE
    on "$OTHER" crm_resource -r "$VM" --meta -p target-role -v "$1" \
        >/dev/null || die "target-role=$1"
}

ask_move() {
    on "$OTHER" crm_resource --move -r "$VM" -N "$TARGET" >/dev/null 2>&1 ||
        die "crm_resource --move"
}

_suspends() { # COUNT
    [[ $(suspends) -gt $1 ]]
}

suspends() {
    grep -cE 'migrate_to: (suspend: guest paused|live: a pause of 20 ms)' \
        "$QM_LAB_DIR/nodes/$SOURCE/log/quickmig/quickmig.log" || true
}

# The order to die comes late: the way into a save has some points in common
# with the way back.
cancel_in_the_middle() { # POINT PROGRAM HOW
    local before
    before=$(suspends)
    lab limit "$SOURCE" 100mbit storage
    ask_move
    lab_wait_until 30 _suspends "$before" || die "no save"
    aim "$SOURCE" "$@"
    on "$OTHER" quickmig cancel "$VM" >/dev/null 2>&1 || true
    lab limit "$SOURCE" none storage
}

_stopped() {
    quiet && [[ $(qemus_on "$SOURCE") == 0 ]]
}

# Asks for what brings the point about; returns before the end of it.
provoke() { # SCENARIO SIDE POINT PROGRAM HOW
    [[ $1 == cancel ]] ||
        aim "$([[ $2 == source ]] && echo "$SOURCE" || echo "$TARGET")" "${@:3}"
    case $1 in
    quick | live) ask_move ;;
    ahead) on "$SOURCE" quickmig move "$VM" "$TARGET" \
        >"$QM_LAB_DIR/move.out" 2>&1 & ;;
    stopstart) prefer "$TARGET"
        set_role Stopped
        [[ $2 == source ]] || {
            lab_wait_until 60 _stopped || die "$VM does not stop"
            set_role Started
        } ;;
    failover) prefer "$TARGET"
        lab kill "$SOURCE" ;;
    reconnect) lab target restart ;;
    cancel) cancel_in_the_middle "${@:3}" ;;
    *) die "no such scenario: $1" ;;
    esac
}

_hit() {
    [[ $(hits) -gt $1 ]]
}

# What the point's scenario has left in the configuration.
withdraw() { # SCENARIO
    case $1 in
    quick | live | ahead | cancel) ask_cluster crm_resource --clear -r "$VM" ;;
    stopstart) ask_cluster crm_resource -r "$VM" --meta -p target-role \
        -v Started ;;
    esac
}

forget_preference() {
    on "$(any_node)" cibadmin --delete --scope constraints \
        --xml-text '<rsc_location id="crash-pref"/>' >/dev/null 2>&1 || true
}

_fenced_more() {
    [[ $(fencings) -gt $1 ]]
}

# Is a cold boot what has to be?
may_be_cold() { # KEEPER FENCED...
    local keeper=$1 node
    shift
    case $keeper in
    none) return 0 ;;
    source) node=$SOURCE ;;
    target) node=$TARGET ;;
    *) return 1 ;;
    esac
    [[ " $* " == *" $node "* ]]
}

judge() { # KEEPER BYTE FENCED...
    local keeper=$1 byte=$2 boot order
    shift 2
    boot=$(guest_boot_id "$VM")
    if [[ $boot == "${VM_BOOT[$VM]}" ]]; then
        OUTCOME="same boot"
    else
        OUTCOME="cold boot"
        may_be_cold "$keeper" "$@" ||
            VERDICT="a cold boot, though the memory was not lost"
    fi
    OUTCOME+=", $SOURCE -> $RUNS_ON${1:+, fenced: $*}"
    # A guest that was resumed and not allowed to write yet may be restored
    # once more; nobody else.
    order=$(_ticks_in_order "$byte")
    if [[ $order == "repeated "* && $POINT == resumed ]]; then
        OUTCOME+=", $order ticks"
    elif [[ -n $order ]]; then
        VERDICT=$order
    fi
    guest_wait_full_check "$VM" 60 >/dev/null 2>&1 || VERDICT="memory is damaged"
    disk_log_check "$(vm_disk_path "$VM")" --min-seq "${VM_SEQ[$VM]}" \
        >"$QM_LAB_DIR/disk" 2>&1 || VERDICT="disk: $(<"$QM_LAB_DIR/disk")"
    disk_log_check "$(lab lun path "$VM-disk2")" --min-seq "$SEQ2" \
        >"$QM_LAB_DIR/disk" 2>&1 || VERDICT="disk 2: $(<"$QM_LAB_DIR/disk")"
}

# All that has to be by itself.
await_settled() {
    local until=$((SECONDS + SETTLE_LIMIT)) left_since=0
    LEFTOVER='' STATE=''
    until _settled; do
        if [[ -n $LEFTOVER && $STATE == "$LEFTOVER" ]]; then
            [[ $left_since != 0 ]] || left_since=$SECONDS
            [[ $((SECONDS - left_since)) -lt $LEFT_LIMIT ]] || break
        fi
        [[ $SECONDS -lt $until ]] || break
        sleep 0.1
    done
    _settled
}

# A case that went wrong must not spoil the next one.
rescue() {
    local node
    for node in $NODES; do
        alive "$node" || lab start "$node" || true
    done
    on "$(any_node)" crm_resource --refresh >/dev/null 2>&1 || true
    await_settled || die "$VM cannot be brought back: $STATE"
}

choose_nodes() {
    local node
    SOURCE=$RUNS_ON TARGET='' OTHER=''
    for node in $NODES; do
        [[ $node == "$SOURCE" ]] || {
            [[ -n $TARGET ]] && OTHER=$node || TARGET=$node
        }
    done
}

clean_up() {
    disarm
    # Failures are forgotten, as an administrator would do.
    on "$(any_node)" crm_resource --cleanup >/dev/null 2>&1 || true
    forget_preference
    quiet || true
}

# QM_PHASES=1: where the time goes.
phase() {
    [[ -z ${QM_PHASES:-} ]] || say "    $*"
}

_knows_taken_over() {
    grep -q 'migrate_to: save: it was committed, and taken over' \
        "$QM_LAB_DIR/nodes/$SOURCE/log/quickmig/quickmig.log"
}

# The source's process stands still until the VM runs on the target.  The move
# has to be over before it is withdrawn: Pacemaker would bring the VM back.
let_it_be_overtaken() {
    local pid
    pid=$(awk 'END { print $3 }' \
        "$QM_LAB_DIR/nodes/$SOURCE/log/quickmig/crash.log")
    RUNS_ON=$TARGET
    lab_wait_until 60 _record_right || VERDICT="not taken over: $STATE"
    on "$SOURCE" kill -CONT "$pid"
    lab_wait_until 60 _knows_taken_over ||
        VERDICT="the source does not know that it was taken over"
    quiet || VERDICT="the cluster does not come to rest"
}

# The point is reached, and who has to be fenced is.
await_death() { # SCENARIO HOW HITS FENCINGS
    local fencings=$4
    if lab_wait_until $HIT_LIMIT _hit "$3" 2>/dev/null; then
        [[ $2 != node ]] || fencings=$((fencings + 1))
    else
        VERDICT="the point was not reached"
    fi
    phase hit
    [[ $2 != stop || $VERDICT != ok ]] || let_it_be_overtaken
    withdraw "$1"
    [[ $1 != failover ]] || fencings=$((fencings + 1))
    lab_wait_until 60 _fenced_more $((fencings - 1)) 2>/dev/null ||
        VERDICT="not fenced"
    phase fenced
}

# Leftovers are told only when all else is well.
await_verdict() { # KEEPER BYTE FENCE-LOG-LINES
    local fenced left=''
    if ! await_settled; then
        [[ -n $LEFTOVER && $STATE == "$LEFTOVER" ]] || {
            VERDICT="not recovered: $STATE"
            return
        }
        left=$LEFTOVER
    fi
    phase settled
    read -ra fenced <<<"$(fenced_since "$3")"
    judge "$1" "$2" "${fenced[@]}"
    [[ -z $left || $VERDICT != ok ]] || VERDICT="left over: $left"
}

crash_case() { # SCENARIO SIDE PROGRAM POINT KEEPER HOW
    local before fencings lines byte began
    RUNS_ON=$(vm_node "$VM")
    choose_nodes
    VERDICT=ok OUTCOME='' POINT=$4
    vm_remember "$VM"
    SEQ2=$(guest_synced "$VM" 1)
    before=$(hits) fencings=$(fencings)
    lines=$(wc -l <"$QM_LAB_DIR/fence.log")
    byte=$(stat -c %s "$(guest_console "$VM")")
    phase remembered
    provoke "$1" "$2" "$4" "$3" "$6"
    began=$(now_wall_ms)
    await_death "$1" "$6" "$before" "$fencings"
    await_verdict "$5" "$byte" "$lines"
    [[ $VERDICT != ok || $6 != stop || $RUNS_ON == "$TARGET" ]] ||
        VERDICT="it did not stay on $TARGET"
    OUTCOME=${OUTCOME:+$OUTCOME, }$((($(now_wall_ms) - began) / 1000))" s"
    phase judged
    [[ $VERDICT == ok ]] || {
        say "$VERDICT"
        cluster_diagnose
        rescue
    }
    clean_up
    phase clean
}
