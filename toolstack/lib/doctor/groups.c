// SPDX-License-Identifier: Apache-2.0
//
// Which functions belong together. What a function sends passes every bridge above it; a bridge
// without access control services (ACS) may send it back down to a neighbour before the IOMMU sees
// it. So everything below the highest such bridge is one group, and so are the functions of one
// device that do not keep each other apart. Bus numbers are firmware's word: walks upwards end
// after as many steps as there are functions.
#include <toolstack/doctor.h>

#include <linux/pci_regs.h>

size_t doctor_find(const struct doctor_facts *facts, const struct pci_function *function)
{
    size_t i = 0;

    while (i < facts->device_count && !pci_is_same(&facts->devices[i].function, function))
        i++;
    return i;
}

size_t doctor_bridge_above(const struct doctor_facts *facts, size_t device)
{
    const struct pci_function *function = &facts->devices[device].function;
    size_t i = 0;

    for (; i < facts->device_count; i++) {
        const struct device_facts *bridge = &facts->devices[i];

        if (i != device && bridge->able.is_bridge && bridge->able.secondary &&
            bridge->function.segment == function->segment &&
            bridge->able.secondary == function->bus)
            break;
    }
    return i;
}

static bool same_device(const struct pci_function *one, const struct pci_function *other)
{
    return one->segment == other->segment && one->bus == other->bus && one->device == other->device;
}

// The first function of the device among those that do not keep each other apart.
static size_t first_of_device(const struct doctor_facts *facts, size_t device)
{
    const struct device_facts *this = &facts->devices[device];

    if (this->able.has_isolation)
        return device;
    for (size_t i = 0; i < device; i++) {
        const struct device_facts *other = &facts->devices[i];

        if (same_device(&other->function, &this->function) && !other->able.has_isolation)
            return i;
    }
    return device;
}

// What stands for a function's group.
static size_t leader(const struct doctor_facts *facts, size_t device)
{
    size_t highest = device;
    size_t bridge = doctor_bridge_above(facts, device);

    for (size_t i = 0; bridge < facts->device_count && i < facts->device_count; i++) {
        if (!facts->devices[bridge].able.has_isolation)
            highest = bridge;
        bridge = doctor_bridge_above(facts, bridge);
    }
    return first_of_device(facts, highest);
}

size_t doctor_group_reason(const struct doctor_facts *facts, size_t one, size_t other)
{
    size_t common = leader(facts, one);

    return common == leader(facts, other) ? common : facts->device_count;
}

bool doctor_same_group(const struct doctor_facts *facts, size_t one, size_t other)
{
    const bool *said = facts->devices[one].group;

    return (said && said[other]) || doctor_group_reason(facts, one, other) < facts->device_count;
}
