# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# What all hotplug scripts share; sourced, not run. A toolstack calls a script with an action and with
# XENBUS_PATH, the xenstore folder of the backend. The script tells its end there: hotplug-status is
# "connected", or "error" with the reason in hotplug-error, which the toolstack shows to the admin
# who typed the command. A script that ends in any other way has hit a defect of its own, and says so.

set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C

script=$(basename "$0")
action=${1:-}

# Ends the script with the reason, where the admin sees it.
fail() {
    trap - EXIT
    echo "$script $action: $*" >&2
    [ -z "${XENBUS_PATH:-}" ] ||
        xenstore-write "$XENBUS_PATH/hotplug-error" "$*" "$XENBUS_PATH/hotplug-status" error
    exit 1
}

# Ends the script: the device is connected.
succeed() {
    trap - EXIT
    xenstore-write "$XENBUS_PATH/hotplug-status" connected
    exit 0
}

# Ends the script that has taken a device away.
finish() {
    trap - EXIT
    exit 0
}

trap 'fail "it ended without a word; this is a defect of the script"' EXIT

# Runs a command that must work; what it says is the reason if it does not.
try() {
    said=$("$@" 2>&1) || fail "$*: ${said:-exit status $?}"
}

# Prints a node of the backend, or the default given when it is not there.
read_node() {
    xenstore-read "$XENBUS_PATH/$1" 2>/dev/null || echo "${2:-}"
}

# Lets one script at a time past this point, until it ends; at most 30 seconds for the others.
take_turn() {
    mkdir -p /run/xen
    exec 9>"/run/xen/hotplug-$1.lock"
    flock -w 30 9 || fail "another script has kept its turn for 30 seconds"
}

[ -n "${XENBUS_PATH:-}" ] || fail "XENBUS_PATH is not set: this is run by a toolstack, not by hand"
