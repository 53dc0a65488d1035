// SPDX-License-Identifier: Apache-2.0
//
// What the server needs of the hypervisor, over the stable libraries: domains' ring pages by the
// grant reserved for them, event channels, and the state of domains. Handles live as long as the
// process. Errors are sentences on the log and a value that says "no".
#ifndef XENSTORED_HYPERVISOR_H
#define XENSTORED_HYPERVISOR_H

#include "../core/xenstore.h"

/* Opens the hypervisor's interfaces. False, with a line in the log, when one is missing. */
bool hypervisor_open(void);

/* The file descriptor that is readable when event channels are pending. It does not block. */
int hypervisor_event_fd(void);

/* The next pending event channel, which may fire again from now on; -1 when there is none. */
int hypervisor_next_event(void);

/* The event channel that fires when a domain has shut down or gone. */
int hypervisor_domain_event(void);

/* Reads the list of all domains, for hypervisor_domain_state() until the next forget. */
void hypervisor_read_domains(void);
void hypervisor_forget_domains(void);

/* Domain 0's own ring, which its kernel offers in the folder XENFS, and the port bound to that
 * kernel; false with a line in the log. */
bool hypervisor_own_ring(const char *xenfs, struct xenstore_domain_interface **ring,
                         unsigned *port);

/* As in struct host. */
struct xenstore_domain_interface *hypervisor_map_ring(void *context, unsigned domid,
                                                      uint64_t frame);
void hypervisor_unmap_ring(void *context, unsigned domid, struct xenstore_domain_interface *ring);
int hypervisor_bind_port(void *context, unsigned domid, unsigned remote_port);
void hypervisor_unbind_port(void *context, unsigned port);
void hypervisor_notify_port(void *context, unsigned port);
enum domain_state hypervisor_domain_state(void *context, unsigned domid);

#endif
