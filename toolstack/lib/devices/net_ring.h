// SPDX-License-Identifier: Apache-2.0
//
// The ring on which a guest sends packets, when the domain that served it has died. Its backend
// answered packets in another order than they came, so what is not answered cannot be seen from the
// counters; a successor that begins at the last answer would answer some twice, and Linux's
// frontend then gives the interface up for ever. Packets may be lost, so all that are open are
// answered as lost instead, and the successor begins with an empty ring.
#ifndef DEVICES_NET_RING_H
#define DEVICES_NET_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xen/io/netif.h>

enum { NET_RING_SLOTS = 256 };

// Whether the guest still grants a page to the domain that died: as long as a packet is open, its
// page is granted.
typedef bool net_ring_granted(void *context, grant_ref_t ref);

// Answers the packets that are open, in a page that the guest shares; the guest must not run
// meanwhile. Believes nothing in it: whatever it holds, only its own answers are written. Returns
// how many slots were answered, or -1 when the page is no ring that a frontend would leave; then
// nothing is changed.
int net_ring_answer_open(struct netif_tx_sring *ring, net_ring_granted *granted, void *context);

#endif
