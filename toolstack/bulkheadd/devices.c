// SPDX-License-Identifier: Apache-2.0
//
// Which PCI functions each domain gets. Those that are named by address come first; a class takes
// what is left, in the order of the domains. All this happens once: afterwards a domain's
// configuration names them, over all its deaths.
#include "bulkheadd.h"

#include <toolstack/memory.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The domain that has the function already, or NULL.
static const struct launch_domain *owner(const struct launch *launch,
                                         const struct pci_function *function)
{
    for (size_t i = 0; i < launch->count; i++)
        for (size_t j = 0; j < launch->domains[i].config.function_count; j++)
            if (pci_is_same(&launch->domains[i].config.functions[j], function))
                return &launch->domains[i];
    return NULL;
}

static void add(struct launch_domain *domain, const struct pci_function *function)
{
    struct domain_config *config = &domain->config;

    config->functions =
        memory_resized(config->functions, config->function_count + 1, sizeof(*config->functions));
    config->functions[config->function_count++] = *function;
}

static struct error *add_named(struct launch *launch, struct launch_domain *domain,
                               const struct launch_device *device)
{
    const struct launch_domain *other = owner(launch, &device->function);

    if (other)
        return config_error(&device->place, ERROR_VALUE, "this function belongs to %s already",
                            other->name);
    add(domain, &device->function);
    return NULL;
}

static struct error *add_class(struct toolstack *toolstack, struct launch *launch,
                               struct launch_domain *domain, const struct launch_device *device)
{
    struct pci_function *functions;
    size_t count;
    size_t added = 0;

    TRY(pci_list_class(toolstack, device->class_code, device->class_mask, &functions, &count));
    for (size_t i = 0; i < count; i++) {
        if (owner(launch, &functions[i]))
            continue;
        add(domain, &functions[i]);
        added++;
    }
    free(functions);
    if (!added)
        fprintf(stderr, "%s:%u: the machine has no device of class %s for %s\n",
                device->place.source, device->place.line, device->class_name, domain->name);
    return NULL;
}

static struct error *add_all(struct toolstack *toolstack, struct launch *launch, bool by_class)
{
    for (size_t i = 0; i < launch->count; i++) {
        struct launch_domain *domain = &launch->domains[i];

        for (size_t j = 0; j < domain->device_count; j++) {
            const struct launch_device *device = &domain->devices[j];

            if (by_class != (device->class_name != NULL))
                continue;
            TRY(by_class ? add_class(toolstack, launch, domain, device)
                         : add_named(launch, domain, device));
        }
    }
    return NULL;
}

struct error *find_devices(struct toolstack *toolstack, struct launch *launch)
{
    TRY(add_all(toolstack, launch, false));
    return add_all(toolstack, launch, true);
}
