# shellcheck shell=bash disable=SC2034 # set by lun_load
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# The lab guest: its domain XML and its serial console.

vm_usage() {
    cat <<'USAGE'
usage: lab vm-xml NAME [OPTION...]
  --memory MIB       RAM (default 160)
  --vcpus N          (default 1)
  --fill MIB         memory with a checkable pattern (default 16)
  --dirty MIB/S      rate at which it is rewritten (default 0)
  --verify MIB/S     rate at which it is checked (default 20)
  --disk-url URL     iscsi://PORTAL/IQN/LUN; gets <auth> if made with --chap
  --disk-file PATH   raw file (both may be repeated: vda, vdb, ...)
  --disk MS          period of the disk log (default 100, 0: none)
  --tick MS          period of the console's ticks (default 50)
  --ip ADDRESS       in 10.77.0.0/24; without: no network interface
  --mac MAC          (default: from NAME)
  --bridge NAME      (default br0)
  --cpu-model MODEL  <cpu> with this exact model (default: libvirt's choice)
  --live-safe        RAM size with which QEMU 7.2's TCG loses no dirty pages
                     in a live save
  --agent            a channel for the guest's agent
  --on-crash ACTION  destroy (default), restart, preserve
USAGE
}

vm_disk_source() {
    local url=$1 rest portal iqn lun
    if [[ $url != iscsi://* ]]; then
        echo "<source file='$url'/>"
        return
    fi
    rest=${url#iscsi://}
    portal=${rest%%/*} rest=${rest#*/}
    iqn=${rest%/*} lun=${rest##*/}
    echo "<source protocol='iscsi' name='$iqn/$lun'>"
    echo "<host name='${portal%:*}' port='${portal##*:}'/>"
    vm_disk_auth "$iqn"
    echo "</source>"
}

vm_disk_auth() {
    local name=${1#"$IQN_PREFIX:"} TID BLOCKSIZE CHAP='' SCSI_ID
    [[ -e $LAB_DIR/luns/$name.conf ]] || return 0
    lun_load "$name"
    [[ -n $CHAP ]] || return 0
    echo "<auth username='${CHAP%%:*}'>"
    echo "<secret type='iscsi' uuid='$(lun_secret_uuid "$name")'/></auth>"
}

# Disk number $1 (0: vda) from $2.
vm_disk() {
    local letters=abcdefgh type=file
    [[ $2 != iscsi://* ]] || type=network
    echo "<disk type='$type' device='disk'>"
    echo "<driver name='qemu' type='raw' cache='none'/>"
    vm_disk_source "$2"
    echo "<target dev='vd${letters:$1:1}' bus='virtio'/></disk>"
}

vm_agent() {
    [[ $AGENT == yes ]] || return 0
    echo "<channel type='unix'>"
    echo "<target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
}

vm_interface() {
    [[ -n $IP ]] || return 0
    echo "<interface type='bridge'><mac address='$MAC'/>"
    echo "<source bridge='$BRIDGE'/><model type='virtio'/>"
    # No boot ROM: faster.
    echo "<rom enabled='no'/></interface>"
}

# QEMU 7.2 under TCG loses dirty pages in a live save by a fast path that it
# takes only for RAM that is a multiple of 256 KiB: 8 KiB more avoid it.
vm_commandline() {
    [[ $LIVE_SAFE == yes ]] || return 0
    cat <<XML
<qemu:commandline>
<qemu:arg value='-object'/>
<qemu:arg value='memory-backend-ram,id=qmram,size=$((MEMORY * 1048576 + 8192))'/>
<qemu:arg value='-machine'/><qemu:arg value='memory-backend=qmram'/>
<qemu:arg value='-m'/><qemu:arg value='size=$((MEMORY * 1024 + 8))k'/>
</qemu:commandline>
XML
}

# Under TCG the kernel's start is most of what a short test costs: without
# what tests nothing here it takes three quarters of the processor time.
vm_kernel_options() {
    local skip=load_system_certificate_list,init_kprobe_trace,digsig_init
    skip+=,init_encrypted,crypto_kdf108_init,cxl_core_init,ext4_init_fs
    echo "console=ttyS0 quiet panic=-1 nokaslr mitigations=off" \
        "noreplace-smp random.trust_cpu=on cryptomgr.notests" \
        "initcall_blacklist=$skip"
}

vm_print() {
    local name=$1 i=0 disk cmdline
    cmdline="$(vm_kernel_options) tick=$TICK fill=$FILL dirty=$DIRTY"
    cmdline+=" verify=$VERIFY disk=$DISK ${IP:+ip=$IP/24}"
    [[ $LIVE_SAFE == no ]] || cmdline+=" other=10"
    cat <<XML
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
<name>$name</name>
<uuid>$(stable_uuid vm "$name")</uuid>
<memory unit='MiB'>$MEMORY</memory>
<vcpu>$VCPUS</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type>
<kernel>$LAB_DIR/guest/vmlinux</kernel>
<initrd>$LAB_DIR/guest/initrd</initrd>
<cmdline>$cmdline</cmdline></os>
<features><acpi/></features>
${CPU_MODEL:+<cpu mode='custom' match='exact'><model>$CPU_MODEL</model></cpu>}
<on_poweroff>destroy</on_poweroff>
<on_reboot>restart</on_reboot>
<on_crash>${ON_CRASH}</on_crash>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
XML
    for disk in "${DISKS[@]}"; do
        vm_disk "$i" "$disk"
        i=$((i + 1))
    done
    vm_interface
    vm_agent
    cat <<XML
<serial type='file'><source path='$LAB_DIR/console/$name.log' append='on'/>
<target port='0'/></serial>
<controller type='usb' model='none'/>
<memballoon model='none'/>
</devices>
$(vm_commandline)
</domain>
XML
}

cmd_vm_xml() {
    local name=${1:-} MEMORY=160 VCPUS=1 FILL=16 DIRTY=0 VERIFY=20 DISK=100 \
        TICK=50 IP='' MAC='' BRIDGE=br0 CPU_MODEL='' ON_CRASH=destroy \
        LIVE_SAFE=no AGENT=no DISKS=() hash var
    if [[ $name == --help ]]; then
        vm_usage
        return
    fi
    [[ $name =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] || die_usage "vm-xml needs a name"
    hash=$(sha1sum <<<"$name")
    MAC=52:54:00:${hash:0:2}:${hash:2:2}:${hash:4:2}
    shift
    while [[ $# -gt 0 ]]; do
        case $1 in
        --live-safe) LIVE_SAFE=yes
            shift
            continue ;;
        --agent) AGENT=yes
            shift
            continue ;;
        --disk-url | --disk-file) DISKS+=("${2:-}") ;;
        --memory | --vcpus | --fill | --dirty | --verify | --disk | --tick)
            [[ ${2:-} =~ ^[0-9]+$ ]] || die_usage "$1 needs a number"
            var=${1#--}
            printf -v "${var^^}" %s "$2" ;;
        --ip | --mac | --bridge | --cpu-model | --on-crash)
            var=${1#--} var=${var^^}
            printf -v "${var//-/_}" %s "${2:-}" ;;
        *) die_usage "vm-xml: unknown option '$1'" ;;
        esac
        [[ $# -ge 2 ]] || die_usage "$1 needs a value"
        shift 2
    done
    # QEMU's user must be able to open it, whoever creates it.
    install -m 666 /dev/null "$LAB_DIR/console/.$name.new"
    ln "$LAB_DIR/console/.$name.new" "$LAB_DIR/console/$name.log" 2>/dev/null ||
        true
    rm -f "$LAB_DIR/console/.$name.new"
    vm_print "$name"
}

console_last_tick() {
    grep -a '^TICK .*disk=' "$1" | tail -n 1
}

console_wait() {
    [[ $# -eq 3 ]] || die_usage "console wait needs REGEX and SECONDS"
    wait_until "$3" "'$2' on the console $1" grep -aEq "$2" "$1"
}

cmd_console() {
    [[ $# -ge 1 ]] || die_usage "console needs a name"
    local file=$LAB_DIR/console/$1.log what=${2:-tail}
    [[ -e $file ]] || die "no console of $1 at $file"
    case $what in
    path) echo "$file" ;;
    tail) tail -n 20 "$file" ;;
    boot-id) grep -ao 'BOOT boot=[0-9a-f-]*' "$file" | tail -n 1 | cut -d= -f2 ;;
    last-tick) console_last_tick "$file" ;;
    ticks) grep -ac '^TICK .*disk=' "$file" ;;
    wait) console_wait "$file" "${@:3}" ;;
    *) die_usage "console: unknown '$what'" ;;
    esac
}
