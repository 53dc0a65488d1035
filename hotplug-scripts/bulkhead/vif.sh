# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154 # action is common.sh's
#
# What the scripts for network interfaces share; sourced after common.sh. It leaves the name of the
# interface in $dev, renamed if the admin wants that, and the guest's MAC and IP addresses in $mac
# and $ips. vif_main calls the script's own connect and disconnect.
#
# guard() keeps a guest from using addresses that are not its own. Its rules stand at the interface's
# ingress, before a bridge, a switch or routing gets the frame, so they are the same for all of them.
# The guest's MAC address always counts; its IP addresses if the configuration names them (ip=).
# GUARD=no in /etc/xen/hotplug.conf leaves it out.

GUARD=yes
# shellcheck disable=SC1091 # the admin's
[ ! -r /etc/xen/hotplug.conf ] || . /etc/xen/hotplug.conf

# Finds the interface. The kernel names it after domain and device; a toolstack names emulated ones.
find_interface() {
    if [ "${2:-}" = type_if=tap ]; then
        dev=${vif:?}
        return
    fi
    rest=${XENBUS_PATH%/*}
    dev=vif${rest##*/}.${XENBUS_PATH##*/}
    wanted=$(read_node vifname)
    [ -n "$wanted" ] && [ "$wanted" != "$dev" ] || return 0
    if [ ! -e "/sys/class/net/$wanted" ] && [ -e "/sys/class/net/$dev" ]; then
        try ip link set "$dev" name "$wanted"
    fi
    dev=$wanted
}

# "a b c" as the elements of a set.
set_of() {
    echo "$1" | sed 's/^ *//; s/  */, /g'
}

# The IPv6 link-local address that belongs to a MAC address (RFC 4291, appendix A).
link_local() {
    old_ifs=$IFS
    IFS=:
    # shellcheck disable=SC2086 # six words
    set -- $1
    IFS=$old_ifs
    printf 'fe80::%x:%xff:fe%02x:%x' $(((0x$1 ^ 2) << 8 | 0x$2)) "0x$3" "0x$4" $((0x$5 << 8 | 0x$6))
}

# The rules for a guest whose IP addresses are known.
guard_addresses() {
    four=
    six="$(link_local "$mac")"
    for address in $ips; do
        case $address in
        *:*) six="$six $address" ;;
        *) four="$four $address" ;;
        esac
    done
    if [ -n "$four" ]; then
        echo "arp saddr ip { 0.0.0.0, $(set_of "$four") } accept"
        echo "ip saddr { $(set_of "$four") } accept"
    fi
    # Before it has its address a guest may ask for it, and look whether somebody else has it.
    echo "ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept"
    echo "icmpv6 type nd-router-advert counter drop"
    echo "icmpv6 type nd-neighbor-advert icmpv6 taddr != { $(set_of "$six") } counter drop"
    echo "ip6 saddr { ::, $(set_of "$six") } accept"
    echo "counter drop"
}

guard_rules() {
    echo "table netdev bulkhead {"
    echo "chain $dev {"
    echo "type filter hook ingress device \"$dev\" priority -500; policy accept;"
    echo "ether saddr != $mac counter drop"
    echo "arp saddr ether != $mac counter drop"
    # A tag that the guest chooses would take it past the rules below, and out of its VLAN.
    [ "${trunk:-no}" = yes ] || echo "ether type { 0x8100, 0x88a8 } counter drop"
    [ -z "$ips" ] || guard_addresses
    echo "}"
    echo "}"
}

unguard() {
    nft delete chain netdev bulkhead "$dev" 2>/dev/null
}

guard() {
    [ "$GUARD" = yes ] || return 0
    [ -n "$mac" ] || fail "the backend has no mac node, so the guest's frames cannot be checked"
    command -v nft >/dev/null ||
        fail "nft is missing: install nftables, or set GUARD=no in /etc/xen/hotplug.conf"
    unguard
    said=$(guard_rules | nft -f - 2>&1) || fail "nft refuses the rules for $dev: $said"
}

# What a new interface needs before a frame may pass. Its own address is one that no bridge prefers.
prepare_interface() {
    [ -e "/sys/class/net/$dev" ] || fail "there is no interface $dev"
    mtu=$(read_node mtu)
    [ -z "$mtu" ] || try ip link set "$dev" mtu "$mtu"
    try ip link set "$dev" address fe:ff:ff:ff:ff:ff
    try ip link set "$dev" arp off
    guard
}

vif_main() {
    find_interface "$@"
    mac=$(read_node mac | tr 'A-F' 'a-f')
    ips=$(read_node ip)
    case $action in
    online | add)
        prepare_interface
        connect
        [ "$action" = add ] || succeed
        ;;
    offline | remove)
        disconnect >/dev/null 2>&1
        unguard
        ;;
    *) fail "the action is none of online, offline, add, remove" ;;
    esac
    finish
}
