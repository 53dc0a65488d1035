// SPDX-License-Identifier: Apache-2.0
//
// From facts about one function to findings: whether it can be given to a domain, what would travel
// with it, and which domain it suits. Nothing here asks anybody anything.
#include <toolstack/doctor.h>
#include <toolstack/memory.h>

#include <linux/pci_regs.h>
#include <stdlib.h>

enum { FRAME_SHIFT = 12, CLASS_BRIDGE = 0x06 };

const char *device_class_word(const struct device_facts *device)
{
    static const char *const words[] = {
        [0x01] = "storage controller",
        [0x02] = "network controller",
        [0x03] = "display controller",
        [0x04] = "multimedia device",
        [0x05] = "memory controller",
        [0x06] = "bridge",
        [0x07] = "communication controller",
        [0x08] = "system device",
        [0x09] = "input device",
        [0x0c] = "serial bus controller",
        [0x0d] = "wireless controller",
        [0x10] = "encryption controller",
        [0x11] = "signal processor",
        [0x12] = "accelerator",
    };
    uint32_t base = device->class >> 16;

    if (!device->seen)
        return "device that this domain does not see";
    if (device->class >> 8 == 0x0c03)
        return "USB controller";
    return base < sizeof(words) / sizeof(words[0]) && words[base] ? words[base] : "device";
}

static void judge_owner(const struct device_facts *device, const char *address,
                        struct findings *findings)
{
    char *advice = NULL;

    if (device->owner == OWNER_HIDDEN) {
        findings_add(findings, FINDING_NOTE, TOPIC_OWNER,
                     memory_copy_text("another domain has it, and no record says which"),
                     "End the domain that has it before you give it to another.");
    } else if (device->owner != OWNER_NONE) {
        advice = memory_format("End that domain, or take it away: xl pci-detach %d %s.",
                               device->owner, address);
        findings_add(findings, FINDING_NOTE, TOPIC_OWNER,
                     memory_format("domain %s (%d) has it",
                                   device->owner_name ? device->owner_name : "without a name",
                                   device->owner),
                     advice);
    } else if (device->driver) {
        advice = memory_format("Take it off this driver first: xl pci-assignable-add %s.", address);
        findings_add(findings, FINDING_NOTE, TOPIC_OWNER,
                     memory_format("this domain uses it, with the driver %s", device->driver),
                     advice);
    } else {
        findings_add(findings, FINDING_GOOD, TOPIC_OWNER, memory_copy_text("nobody uses it"), NULL);
    }
    free(advice);
}

// The companions of a function, as words; the first bridge or function that binds them.
static size_t list_group(const struct doctor_facts *facts, size_t device, struct text *list)
{
    size_t reason = facts->device_count;

    for (size_t i = 0; i < facts->device_count; i++) {
        char address[PCI_TEXT_SIZE];

        // Bridges send nothing of their own.
        if (i == device || facts->devices[i].class >> 16 == CLASS_BRIDGE ||
            !doctor_same_group(facts, device, i))
            continue;
        pci_format(&facts->devices[i].function, address);
        text_add(list, "%s%s", list->length ? ", " : "", address);
        if (reason == facts->device_count)
            reason = doctor_group_reason(facts, device, i);
    }
    return reason;
}

static void judge_group(const struct doctor_facts *facts, size_t device, struct findings *findings)
{
    struct text list = {0};
    size_t reason = list_group(facts, device, &list);
    char address[PCI_TEXT_SIZE];

    if (!list.length) {
        findings_add(findings, FINDING_GOOD, TOPIC_GROUP,
                     memory_copy_text("it travels alone: whatever it sends passes the IOMMU"),
                     NULL);
        return;
    }
    char *why = memory_copy_text("the hypervisor says that they share an identity");

    if (reason < facts->device_count) {
        bool bridge = facts->devices[reason].able.is_bridge;

        free(why);
        pci_format(&facts->devices[reason].function, address);
        why = bridge ? memory_format("the bridge %s above them has no access control (ACS) and may "
                                     "pass on what they send each other",
                                     address)
                     : memory_copy_text("they are functions of one device, which does not keep "
                                        "them apart (no ACS)");
    }
    findings_add(findings, FINDING_NOTE, TOPIC_GROUP,
                 memory_format("%s would have to travel with it: %s", list.bytes, why),
                 "Give all of them to one domain, or move it to a slot of its own.");
    free(why);
    text_free(&list);
}

// A bus can be reset when all that is on it travels together anyway.
static bool resets_bus(const struct doctor_facts *facts, size_t device)
{
    const struct pci_function *function = &facts->devices[device].function;

    if (doctor_bridge_above(facts, device) == facts->device_count)
        return false;
    for (size_t i = 0; i < facts->device_count; i++) {
        const struct pci_function *other = &facts->devices[i].function;

        if (other->segment == function->segment && other->bus == function->bus &&
            !doctor_same_group(facts, device, i))
            return false;
    }
    return true;
}

// The kinds that Bulkhead resets by registers of their own where PCI offers nothing
// (hypervisor/drivers/pci/reset_own.c).
static bool resets_by_own_registers(const struct doctor_facts *facts,
                                    const struct device_facts *device)
{
    static const struct {
        uint32_t class;
        uint16_t vendor;
        uint16_t device;
    } kinds[] = {
        {.class = 0x0c0330},
        {.class = 0x010601},
        {.vendor = 0x8086, .device = 0x10d3},
        {.vendor = 0x8086, .device = 0x10f6},
        {.vendor = 0x8086, .device = 0x150c},
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].class ? kinds[i].class == device->class
                           : kinds[i].vendor == device->vendor && kinds[i].device == device->device)
            return facts->machine.virtual_pci == YES;
    return false;
}

static void judge_reset(const struct doctor_facts *facts, size_t device, struct findings *findings)
{
    const struct device_abilities *able = &facts->devices[device].able;
    struct text list = {0};

    if (able->resets_function)
        text_add(&list, "function level reset");
    if (able->resets_advanced_features)
        text_add(&list, "%sadvanced features", list.length ? ", " : "");
    if (able->resets_power_state)
        text_add(&list, "%spower state", list.length ? ", " : "");
    if (resets_bus(facts, device))
        text_add(&list, "%sits bus", list.length ? ", " : "");
    if (resets_by_own_registers(facts, &facts->devices[device]))
        text_add(&list, "%sregisters of its own", list.length ? ", " : "");
    if (list.length)
        findings_add(findings, FINDING_GOOD, TOPIC_RESET,
                     memory_format("it can be reset between domains: %s", list.bytes), NULL);
    else
        findings_add(findings, FINDING_PROBLEM, TOPIC_RESET,
                     memory_copy_text("it cannot be reset alone: one domain can have it, and after "
                                      "that nobody until the machine starts again"),
                     "Move it below a PCI Express port of its own, whose bus can be reset.");
    text_free(&list);
}

static void judge_interrupts(const struct device_abilities *able, struct findings *findings)
{
    if (able->has_message_interrupts || !able->has_line)
        findings_add(findings, FINDING_GOOD, TOPIC_INTERRUPTS,
                     memory_copy_text(able->has_message_interrupts
                                          ? "it interrupts by messages (MSI or MSI-X)"
                                          : "it has no interrupts"),
                     NULL);
    else
        findings_add(findings, FINDING_PROBLEM, TOPIC_INTERRUPTS,
                     memory_copy_text("it has line interrupts only, which PVH domains do not get"),
                     "Use a device with MSI or MSI-X, or a driver that polls it.");
}

// Registers that share a page with another function's are mapped together with them.
static void judge_pages(const struct doctor_facts *facts, size_t device, struct findings *findings)
{
    const struct device_facts *this = &facts->devices[device];

    for (size_t i = 0; i < facts->device_count; i++) {
        const struct device_facts *other = &facts->devices[i];
        bool shared = false;
        char address[PCI_TEXT_SIZE];

        if (i == device || other->able.is_bridge)
            continue;
        for (size_t j = 0; j < this->region_count * other->region_count; j++) {
            const struct device_region *a = &this->regions[j / other->region_count];
            const struct device_region *b = &other->regions[j % other->region_count];

            shared |= !a->is_port && !b->is_port &&
                      a->first >> FRAME_SHIFT <= b->last >> FRAME_SHIFT &&
                      b->first >> FRAME_SHIFT <= a->last >> FRAME_SHIFT;
        }
        if (!shared)
            continue;
        pci_format(&other->function, address);
        findings_add(
            findings, FINDING_PROBLEM, TOPIC_SHARED_PAGE,
            memory_format("its registers share a page of memory with those of %s", address),
            "Give both to one domain, or have this domain's kernel place them apart "
            "(pci=resource_alignment).");
    }
}

static void judge_reserved(const struct doctor_facts *facts, size_t device,
                           struct findings *findings)
{
    for (size_t i = 0; i < facts->reserved_count; i++) {
        const struct reserved_region *region = &facts->reserved[i];
        struct text others = {0};

        if (!region->devices[device])
            continue;
        for (size_t j = 0; j < facts->device_count; j++) {
            char address[PCI_TEXT_SIZE];

            if (j == device || !region->devices[j])
                continue;
            pci_format(&facts->devices[j].function, address);
            text_add(&others, "%s%s", others.length ? ", " : " and shares it with ", address);
        }
        findings_add(findings, FINDING_PROBLEM, TOPIC_RESERVED_MEMORY,
                     memory_format("firmware uses it through memory %lx to %lx%s", region->first,
                                   region->last, others.length ? others.bytes : ""),
                     "Keep it in this domain: the firmware goes on using it.");
        text_free(&others);
    }
}

static void judge_use(const struct device_facts *device, const char *address,
                      struct findings *findings)
{
    const char *kind = "a domain of its own, with a driver for it";

    if (device->class >> 16 == 0x02)
        kind = "a network driver domain, whose guests' interfaces then say backend=NAME";
    else if (device->class >> 16 == 0x01)
        kind = "a storage driver domain, whose guests' disks then say backend=NAME";
    else if (device->class >> 8 == 0x0c03)
        kind = "a USB driver domain";
    char *advice =
        memory_format("In its configuration: driver_domain = 1, pci = [ \"%s\" ].", address);

    findings_add(findings, FINDING_GOOD, TOPIC_DRIVER_DOMAIN, memory_format("it suits %s", kind),
                 advice);
    free(advice);
}

void doctor_judge_device(const struct doctor_facts *facts, size_t place, struct findings *findings)
{
    const struct device_facts *device = &facts->devices[place];
    char address[PCI_TEXT_SIZE];

    pci_format(&device->function, address);
    if (device->seen && device->class >> 16 == CLASS_BRIDGE) {
        findings_add(findings, FINDING_NOTE, TOPIC_DRIVER_DOMAIN,
                     memory_copy_text("it is a bridge, which stays with the hypervisor and this "
                                      "domain; what is behind it can be given"),
                     NULL);
        return;
    }
    judge_owner(device, address, findings);
    judge_group(facts, place, findings);
    judge_reserved(facts, place, findings);
    if (!device->seen || !device->able.readable) {
        findings_add(findings, FINDING_NOTE, TOPIC_VISIBILITY,
                     memory_copy_text("this domain does not see it, so nothing can be said of its "
                                      "kind, resets and interrupts"),
                     "That is as it should be when the hypervisor hides devices from this domain "
                     "(hide=).");
        return;
    }
    judge_reset(facts, place, findings);
    judge_interrupts(&device->able, findings);
    judge_pages(facts, place, findings);
    judge_use(device, address, findings);
}
