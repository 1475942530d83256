# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# corosync and Pacemaker: configuration, start in the right order, waits.

write_corosync_conf() {
    local i two_node=''
    [[ $NODES -ne 2 ]] || two_node='two_node: 1'
    {
        cat <<TOTEM
totem {
  version: 2
  cluster_name: lab
  transport: knet
  crypto_cipher: none
  crypto_hash: none
  token: $TOKEN
  # After each message the token goes around so often before it rests; the
  # default, 30, is a tenth of the two processors that three nodes share here.
  seqno_unchanged_const: 5
}
quorum {
  provider: corosync_votequorum
  $two_node
}
logging {
  to_stderr: no
  to_logfile: yes
  logfile: /var/log/corosync/corosync.log
  to_syslog: no
  timestamp: hires
}
nodelist {
TOTEM
        for ((i = 1; i <= NODES; i++)); do
            echo "  node {"
            echo "    ring0_addr: 10.77.0.$i"
            echo "    name: n$i"
            echo "    nodeid: $i"
            echo "  }"
        done
        echo "}"
    } >"$LAB_DIR/corosync.conf"
}

# QM_LAB_ENVIRONMENT: NAME=VALUE words for Pacemaker and what it starts.
pacemaker_start() {
    local pid environment
    read -ra environment <<<"${QM_LAB_ENVIRONMENT:-}"
    pid=$(node_pid "$1") || return 1
    log "$1: starting pacemaker"
    spawn_logged "$(node_dir "$1")/pacemaker.out" \
        "$LABNS" exec "$pid" setsid -f env \
        PCMK_logfile=/var/log/pacemaker/pacemaker.log PCMK_logpriority=info \
        PCMK_fail_fast=no "${environment[@]}" pacemakerd -f
}

daemon_gone() {
    ! in_node "$1" pgrep -x "$2"
}

# stop_daemon NODE NAME SECONDS
stop_daemon() {
    in_node "$1" pkill -x -TERM "$2" || true
    wait_until "$3" "end of $2 on $1" daemon_gone "$1" "$2"
}

# "stop" is what systemd does at a clean shutdown: the node leaves first.
cmd_pacemaker() {
    [[ $# -eq 2 ]] || die_usage "pacemaker needs NODE and start or stop"
    need_node "$1" >/dev/null
    case $2 in
    start) in_node "$1" pgrep -x corosync >/dev/null || in_node "$1" corosync
        wait_until 20 "corosync on $1" in_node "$1" corosync-quorumtool -l
        pacemaker_start "$1"
        cluster_wait_member "$1" ;;
    stop) stop_daemon "$1" pacemakerd 300
        stop_daemon "$1" corosync 20 ;;
    *) die_usage "pacemaker: unknown '$2'" ;;
    esac
}

# All corosyncs see all nodes.
corosync_complete() {
    local node
    for node in $(node_names); do
        [[ $(in_node "$node" corosync-cmapctl -b runtime.members. |
            grep -c 'status.*= joined') -eq $NODES ]] || return 1
    done
}

# What a running node sees of the cluster, as crm_mon's XML.
cluster_xml() {
    local node
    for node in $(node_names); do
        if in_node "$node" crm_mon -1 --output-as=xml 2>/dev/null; then
            return
        fi
    done
    return 1
}

# xml_nodes ATTRIBUTE...: names of nodes with all these attributes true.
cluster_members() {
    sed -n 's/.*<node name="\([^"]*\)".* online="true".* pending="false".*/\1/p'
}

cluster_complete() {
    local xml
    xml=$(cluster_xml) || return 1
    grep -q '<current_dc present="true".* with_quorum="true"' <<<"$xml" &&
        [[ $(cluster_members <<<"$xml" | wc -l) -eq $NODES ]]
}

node_is_member() {
    local xml
    xml=$(in_node "$1" crm_mon -1 --output-as=xml) || return 1
    grep -q '<current_dc present="true".* with_quorum="true"' <<<"$xml" &&
        grep -qx "$1" <<<"$(cluster_members <<<"$xml")"
}

# As seen by the node itself, which has joined then.
cluster_wait_member() {
    wait_until 90 "$1 as a member of the cluster" node_is_member "$1"
}

# Stonith is enabled only when all are online: no start-up fencing.
cluster_configure() {
    local hosts
    hosts=$(node_names | tr '\n' ' ')
    in_node n1 cibadmin --modify --allow-create --scope crm_config -X '
<crm_config><cluster_property_set id="cib-bootstrap-options">
<nvpair id="opt-quorum" name="no-quorum-policy" value="stop"/>
<nvpair id="opt-stonith" name="stonith-enabled" value="true"/>
<nvpair id="opt-name" name="cluster-name" value="lab"/>
</cluster_property_set></crm_config>'
    in_node n1 cibadmin --modify --allow-create --scope resources -X "
<resources><primitive id='fence_lab' class='stonith' type='fence_lab'>
<instance_attributes id='fence_lab-ia'>
<nvpair id='fence_lab-hosts' name='pcmk_host_list' value='${hosts% }'/>
</instance_attributes>
<operations><op id='fence_lab-monitor' name='monitor' interval='60s'
 timeout='20s'/></operations></primitive></resources>"
    wait_until 30 "the fence device" fence_device_started
}

fence_device_started() {
    grep -q 'id="fence_lab".*role="Started"' <<<"$(cluster_xml)"
}
