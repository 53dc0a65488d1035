// SPDX-License-Identifier: Apache-2.0
//
// The beginning and the end of domains.
#ifndef TOOLSTACK_CREATE_H
#define TOOLSTACK_CREATE_H

#include <toolstack/domain.h>
#include <toolstack/domain_config.h>

// Makes a domain with all its devices, paused. Whatever fails, nothing is left of it: not in the
// hypervisor, not in xenstore, and no device. If this program is killed on the way, the next call,
// by any program, clears away what is left.
struct error *domain_create(struct toolstack *toolstack, const struct domain_config *config,
                            unsigned int *domid) MUST_CHECK;

// Ends a domain: its devices, its memory, its nodes in xenstore, its kept configuration. Goes on
// after errors and returns the first.
struct error *domain_destroy(struct toolstack *toolstack, unsigned int domid) MUST_CHECK;

// The same for what may be there of a domain, whether the hypervisor still knows it or not.
struct error *domain_clear_away(struct toolstack *toolstack, unsigned int domid,
                                const uint8_t uuid[16]) MUST_CHECK;

// Renames a domain that has ended and gives it another UUID, so that its successor can be started.
struct error *domain_set_aside(struct toolstack *toolstack, unsigned int domid) MUST_CHECK;

#endif
