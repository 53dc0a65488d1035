// SPDX-License-Identifier: Apache-2.0
//
// Making a domain in the hypervisor and filling its memory: what the creation of a domain
// (create.c) does with what kernel.h and guest_image.h have prepared.
#ifndef BUILDER_BUILD_H
#define BUILDER_BUILD_H

#include <toolstack/domain.h>
#include <toolstack/domain_config.h>
#include <toolstack/guest_image.h>

// What is needed to build a domain, read before it exists. All zeroes is empty.
struct boot_image {
    struct file_bytes kernel_file;
    struct file_bytes modules[GUEST_MODULES_MAX];
    size_t module_sizes[GUEST_MODULES_MAX];
    size_t module_count;
    struct kernel kernel;
    struct guest_layout layout;
};

struct error *boot_image_read(const struct domain_config *config,
                              struct boot_image *image) MUST_CHECK;
void boot_image_free(struct boot_image *image);

struct domain_ports {
    uint32_t store;
    uint32_t console;
};

// Makes an empty domain that does not run. Needs the hypervisor to be open.
struct error *build_make(struct toolstack *toolstack, const struct domain_config *config,
                         unsigned int *domid) MUST_CHECK;

// Gives it its memory and fills it, so that it can be introduced to xenstored and run. backend is
// the domain of xenstored and xenconsoled. After an error the domain is to be destroyed.
struct error *build_fill(struct toolstack *toolstack, const struct domain_config *config,
                         const struct boot_image *image, unsigned int domid, unsigned int backend,
                         struct domain_ports *ports) MUST_CHECK;

// Parts of build_fill.
struct error *build_populate(struct hypervisor *hypervisor, unsigned int domid,
                             const struct guest_layout *layout) MUST_CHECK;
struct error *build_cpu_policy(struct hypervisor *hypervisor, unsigned int domid,
                               unsigned int vcpus) MUST_CHECK;

#endif
