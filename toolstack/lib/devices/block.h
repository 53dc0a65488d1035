// SPDX-License-Identifier: Apache-2.0
//
// Connecting disks without a script: what /etc/xen/scripts/block does for files and block devices,
// done here in one process. The nodes that are written are the same, so either can undo the other.
//
// In a driver domain every disk is behind a loop device that goes past the page cache and takes one
// request at a time, so that nothing that was acknowledged is lost with the domain, and the ring
// says at any moment what has not been done (docs/healing.md).
#ifndef DEVICES_BLOCK_H
#define DEVICES_BLOCK_H

#include <toolstack/domain.h>

#define BLOCK_SCRIPT "/etc/xen/scripts/block"

// Finds the device behind a target, through a loop device for a file, and tells the backend.
// Refuses what another domain or this one uses, unless nobody writes to it.
struct error *block_connect(struct toolstack *toolstack, const char *backend_path,
                            const char *target, bool readonly) MUST_CHECK;

// Gives back the loop device that a backend uses, if it is one.
void block_disconnect(struct toolstack *toolstack, const char *backend_path);

#endif
