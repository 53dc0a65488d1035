# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154 # script, dev and ips are the others'
#
# Routing to a guest's interface, for vif-route and vif-nat; sourced after vif.sh. The guest has the
# addresses that its configuration names (ip=), each of which gets a route to the interface. It may
# have any gateway: the interface answers ARP for whatever is reached over another one.

route_connect() {
    [ -n "$ips" ] || fail "$script needs the guest's address: write ip=ADDRESS for the interface"
    try ip link set "$dev" arp on
    try ip link set "$dev" up
    echo 1 >"/proc/sys/net/ipv4/conf/$dev/proxy_arp" || fail "cannot turn on proxy ARP for $dev"
    for address in $ips; do
        try ip route replace "${address%/*}" dev "$dev"
    done
    echo 1 >/proc/sys/net/ipv4/ip_forward || fail "cannot turn on IP forwarding"
}

route_disconnect() {
    for address in $ips; do
        ip route del "${address%/*}" dev "$dev"
    done
    ip link set "$dev" down
}
