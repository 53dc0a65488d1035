// SPDX-License-Identifier: Apache-2.0
//
// The hypercalls of a control domain, through the operating system's device for them. A handle is
// used by one thread. Functions with a raw result return what the hypervisor returned: 0 or more,
// or a negative XEN_E... number; the modules above turn that into an error with a sentence.
#ifndef TOOLSTACK_HYPERCALL_H
#define TOOLSTACK_HYPERCALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/sysctl.h>
#include <xen/memory.h>
#include <toolstack/error.h>

struct hypervisor;

#define PAGE_SIZE 4096u
#define PAGE_SHIFT 12

// Opens the device. The error says what to do when this is no control domain.
struct error *hypervisor_open(struct hypervisor **result) MUST_CHECK;
void hypervisor_close(struct hypervisor *hypervisor);

// Memory that hypercalls may point to, zeroed; never NULL.
void *hypervisor_buffer(struct hypervisor *hypervisor, size_t size);
void hypervisor_buffer_free(struct hypervisor *hypervisor, void *buffer);

// Fill in the interface version, copy the operation to a buffer, call, and copy it back.
int hypervisor_domctl(struct hypervisor *hypervisor, struct xen_domctl *operation);
int hypervisor_sysctl(struct hypervisor *hypervisor, struct xen_sysctl *operation);

// Reads an entry of the hypervisor's file system: a header (struct xen_hypfs_direntry), then what
// is in it, into size bytes. 0 or a negative error number.
int hypervisor_read_hypfs(struct hypervisor *hypervisor, const char *path, void *entry,
                          size_t size);

// The same for operations whose argument is a structure of size bytes.
int hypervisor_memory_op(struct hypervisor *hypervisor, unsigned int command, void *argument,
                         size_t size);
int hypervisor_hvm_op(struct hypervisor *hypervisor, unsigned int command, void *argument,
                      size_t size);
int hypervisor_event_op(struct hypervisor *hypervisor, unsigned int command, void *argument,
                        size_t size);
int hypervisor_sched_op(struct hypervisor *hypervisor, unsigned int command, void *argument,
                        size_t size);
int hypervisor_grant_op(struct hypervisor *hypervisor, unsigned int command, void *argument,
                        size_t size);
// argument may be NULL, for commands whose answer is the result.
int hypervisor_version(struct hypervisor *hypervisor, unsigned int command, void *argument,
                       size_t size);

int hypervisor_set_param(struct hypervisor *hypervisor, uint16_t domid, uint32_t index,
                         uint64_t value);
int hypervisor_get_param(struct hypervisor *hypervisor, uint16_t domid, uint32_t index,
                         uint64_t *value);

// Maps count guest frames, writable; NULL on failure, with errno. Unmap with the same count.
void *hypervisor_map(struct hypervisor *hypervisor, uint16_t domid, const xen_pfn_t *frames,
                     size_t count);
// As hypervisor_map for consecutive frames.
void *hypervisor_map_range(struct hypervisor *hypervisor, uint16_t domid, xen_pfn_t first,
                           size_t count);
void hypervisor_unmap(struct hypervisor *hypervisor, void *address, size_t count);

// Maps the first frames of the domain's grant table.
struct error *hypervisor_map_grant_table(struct hypervisor *hypervisor, uint16_t domid,
                                         unsigned long count, void **address,
                                         void **resource) MUST_CHECK;
void hypervisor_unmap_resource(struct hypervisor *hypervisor, void *resource);

#endif
