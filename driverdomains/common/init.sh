# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# What the first processes of domain 0 and of driver domains, and their services, share; sourced.

export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb

# Runs a command that ought to work; says so on the console when it does not, and goes on.
step() {
    "$@" || echo "${FAILED:-FAILED}: $*"
}

# Prints the value of a word NAME=VALUE of the kernel's command line, or the default given.
option() {
    value=$(tr ' ' '\n' </proc/cmdline | sed -n "s/^$1=//p" | tail -n 1)
    echo "${value:-$2}"
}

mount_filesystems() {
    step mount -t proc -o nosuid,nodev,noexec proc /proc
    step mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
    step mount -t devtmpfs -o nosuid,noexec devtmpfs /dev
    step mkdir -p /dev/pts
    step mount -t devpts devpts /dev/pts
    step mount -t tmpfs -o nosuid,nodev,mode=755,size=32m tmpfs /run
    mkdir -p /run/lock /run/log/xen/console /run/tmp /run/xen /run/xenstored
    # Hotplug scripts read these names, which udev makes elsewhere.
    ln -sf /proc/self/fd /dev/fd
    ln -sf /proc/self/fd/0 /dev/stdin
    ln -sf /proc/self/fd/1 /dev/stdout
    ln -sf /proc/self/fd/2 /dev/stderr
}

# Gives the console to a shell, again when it ends.
offer_shell() {
    dmesg -n 1
    cd /root || exit 1
    while true; do
        PS1=$1 setsid cttyhack sh
    done
}
