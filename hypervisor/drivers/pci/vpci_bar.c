// SPDX-License-Identifier: Apache-2.0
// Base address registers of a virtual function (PCI Local Bus Specification 3.0, section 6.2.5).
// A domain sees what it wrote, with the size bits that the hardware has; addresses take effect,
// when memory decode is turned on: domain 0's in hardware, and mapped one to one; another domain's
// only in its p2m, mapped to where the machine has the BAR. The pages with the MSI-X table are left
// out, and nothing is mapped where there is memory or a device of somebody else. What cannot be
// mapped the domain does not find there; that is no error. The device's lock is held; p2m locks are
// inner.
#include <bulkhead/console.h>
#include <bulkhead/errno.h>

#include "vpci_private.h"

#define VPCI_BAR_HIGH 0x100u       // argument of the register with a 64-bit BAR's high half
#define MAX_BAR_FRAMES (1UL << 28) // 1 TiB: bounds the time that mapping takes

static bool is_memory(enum pci_bar_type type)
{
    return type == PCI_BAR_MEMORY32 || type == PCI_BAR_MEMORY64 || type == PCI_BAR_ROM;
}

// Whether the domain may have the whole pages of a BAR.
static bool mapping_allowed(const struct vpci_device *v, uint64_t first, uint64_t count)
{
    const char *what =
        count > MAX_BAR_FRAMES
            ? "they are too many"
            : vpci_forbidden_memory(v->domain, first << PAGE_SHIFT, count << PAGE_SHIFT);

    if (what) {
        log_message(LOG_GUEST_WARNING,
                    "vPCI: " PCI_FORMAT " of domain %u: frames %lx to %lx are not mapped: %s",
                    PCI_ARGUMENTS(v->pdev->sbdf), v->domain->id, first, first + count - 1, what);
    }
    return !what;
}

static int map_frame(struct domain *d, gfn_t gfn, mfn_t mfn)
{
    int error = p2m_set_new(d, gfn, mfn, ORDER_4K, P2M_MMIO);
    struct p2m_entry entry;

    if (error != -XEN_EEXIST) {
        return error;
    }
    entry = p2m_lookup(d, gfn);
    return entry.type == P2M_MMIO && entry.mfn.n == mfn.n ? 0 : -XEN_EEXIST;
}

static unsigned int next_smaller(unsigned int order)
{
    return order == ORDER_1G ? ORDER_2M : ORDER_4K;
}

// Removes what of a block still maps it: the domain may have put its own memory into its place.
static int unmap_block(struct domain *d, gfn_t gfn, mfn_t mfn, unsigned int order)
{
    struct p2m_entry entry = p2m_lookup(d, gfn);
    unsigned int smaller = next_smaller(order);

    if (entry.type == P2M_MMIO && entry.mfn.n == mfn.n && entry.order >= order) {
        return p2m_clear(d, gfn, order);
    }
    for (uint64_t i = 0; order != ORDER_4K && i < 1UL << order; i += 1UL << smaller) {
        unmap_block(d, gfn_add(gfn, i), mfn_add(mfn, i), smaller);
    }
    return 0;
}

// Maps one aligned block, 4 KiB pages where some of it is mapped so already. On failure nothing of
// it is mapped.
static int map_block(struct domain *d, gfn_t gfn, mfn_t mfn, unsigned int order)
{
    int error =
        order == ORDER_4K ? map_frame(d, gfn, mfn) : p2m_set_new(d, gfn, mfn, order, P2M_MMIO);

    if (error != -XEN_EEXIST || order != ORDER_2M) {
        return error;
    }
    for (uint64_t i = 0; i < 1UL << ORDER_2M; i++) {
        error = map_frame(d, gfn_add(gfn, i), mfn_add(mfn, i));
        if (error) {
            while (i-- > 0) {
                p2m_clear_match(d, gfn_add(gfn, i), mfn_add(mfn, i));
            }
            return error;
        }
    }
    return 0;
}

// The domain's frames [first, end), and the machine's frame of the first.
struct span {
    uint64_t first, end, machine;
};

// Calls fn for aligned blocks that make up the span until one fails; returns where.
static uint64_t for_each_block(struct domain *d, struct span span,
                               int (*fn)(struct domain *d, gfn_t gfn, mfn_t mfn,
                                         unsigned int order))
{
    uint64_t frame = span.first;

    while (frame < span.end) {
        uint64_t count = span.end - frame, machine = span.machine + (frame - span.first);
        uint64_t alignment = frame | machine;
        unsigned int order = ORDER_4K;

        if (alignment % (1UL << ORDER_1G) == 0 && count >= 1UL << ORDER_1G) {
            order = ORDER_1G;
        } else if (alignment % (1UL << ORDER_2M) == 0 && count >= 1UL << ORDER_2M) {
            order = ORDER_2M;
        }
        if (fn(d, GFN(frame), MFN(machine), order)) {
            break;
        }
        frame += 1UL << order;
    }
    return frame;
}

// The frames of a BAR at address without those of the MSI-X table; the second span may be empty.
static void bar_spans(const struct vpci_device *v, unsigned int index, uint64_t address,
                      struct span spans[2])
{
    const struct vpci_bar *bar = &v->bars[index];
    uint64_t end = (address + bar->size + PAGE_SIZE - 1) >> PAGE_SHIFT;
    uint64_t machine = bar->machine >> PAGE_SHIFT;
    uint64_t hole, count;

    spans[0] = (struct span){address >> PAGE_SHIFT, end, machine};
    spans[1] = (struct span){end, end, machine};
    if (vpci_msix_hole(v, index, address, &hole, &count)) {
        spans[0].end = hole;
        spans[1].first = hole + count;
        spans[1].machine = machine + (spans[1].first - spans[0].first);
    }
}

static void write_hardware(const struct vpci_device *v, unsigned int index)
{
    const struct vpci_bar *bar = &v->bars[index];
    pci_sbdf_t sbdf = v->pdev->sbdf;

    if (index == VPCI_ROM) {
        pci_config_write(
            sbdf, v->pdev->header_type == PCI_HEADER_BRIDGE ? PCI_ROM_BRIDGE : PCI_ROM_DEVICE, 4,
            (uint32_t)bar->machine | (bar->enabled ? PCI_ROM_ENABLE : 0));
        return;
    }
    pci_config_write(sbdf, PCI_BAR0 + index * 4, 4, (uint32_t)bar->machine);
    if (bar->type == PCI_BAR_MEMORY64) {
        pci_config_write(sbdf, PCI_BAR0 + index * 4 + 4, 4, (uint32_t)(bar->machine >> 32));
    }
}

static bool map_spans(struct vpci_device *v, const struct span spans[2])
{
    struct domain *d = v->domain;
    uint64_t reached = for_each_block(d, spans[0], map_block);
    bool failed = reached != spans[0].end;

    if (!failed) {
        reached = for_each_block(d, spans[1], map_block);
        if (reached == spans[1].end) {
            return true;
        }
        for_each_block(d, (struct span){spans[1].first, reached, spans[1].machine}, unmap_block);
        for_each_block(d, spans[0], unmap_block);
    } else {
        for_each_block(d, (struct span){spans[0].first, reached, spans[0].machine}, unmap_block);
    }
    log_message(LOG_GUEST_WARNING, "vPCI: " PCI_FORMAT " of domain %u: frame %lx cannot be mapped",
                PCI_ARGUMENTS(v->pdev->sbdf), d->id, reached);
    return false;
}

static void map_bar(struct vpci_device *v, unsigned int index)
{
    struct vpci_bar *bar = &v->bars[index];
    struct span spans[2];

    bar_spans(v, index, bar->address, spans);
    if (bar->address == 0 || (bar->address + bar->size - 1) >> 52 || bar->mapped ||
        !mapping_allowed(v, spans[0].machine, spans[1].end - spans[0].first)) {
        return;
    }
    p2m_batch_begin(v->domain);
    bar->mapped = map_spans(v, spans);
    p2m_batch_end(v->domain);
    bar->mapped_at = bar->address;
    if (bar->mapped && v->msix && v->msix->bar == index) {
        vpci_msix_show(v, bar->address, bar->machine);
    }
}

// Whether another mapped BAR of the domain lies in the same page as this small one. Looks at other
// functions without their locks: a domain that moves two of them at once may lose the page.
static bool page_shared(const struct vpci_device *v, unsigned int index)
{
    uint64_t page = ALIGN_DOWN(v->bars[index].mapped_at, PAGE_SIZE);
    const struct vpci_device *other;
    bool found = false;

    if (v->bars[index].size >= PAGE_SIZE) {
        return false;
    }
    spin_lock(&v->domain->arch.vpci->lock);
    list_for_each (other, &v->domain->arch.vpci->devices, link) {
        for (unsigned int i = 0; i <= VPCI_ROM; i++) {
            const struct vpci_bar *b = &other->bars[i];

            found |= b->mapped && b != &v->bars[index] &&
                     ranges_overlap(page, PAGE_SIZE, b->mapped_at, b->size);
        }
    }
    spin_unlock(&v->domain->arch.vpci->lock);
    return found;
}

static void unmap_bar(struct vpci_device *v, unsigned int index)
{
    struct vpci_bar *bar = &v->bars[index];
    struct span spans[2];

    if (!bar->mapped) {
        return;
    }
    if (v->msix && v->msix->bar == index) {
        vpci_msix_hide(v);
    }
    if (page_shared(v, index)) {
        bar->mapped = false;
        return;
    }
    bar_spans(v, index, bar->mapped_at, spans);
    p2m_batch_begin(v->domain);
    for_each_block(v->domain, spans[0], unmap_block);
    for_each_block(v->domain, spans[1], unmap_block);
    p2m_batch_end(v->domain);
    bar->mapped = false;
}

// Domain 0 places BARs on the machine; other domains only in their own address space.
static void follow_domain(struct vpci_device *v, unsigned int index)
{
    if (!v->filtered) {
        v->bars[index].machine = v->bars[index].address;
    }
}

void vpci_bars_map(struct vpci_device *v)
{
    for (unsigned int i = 0; i <= VPCI_ROM; i++) {
        if (is_memory(v->bars[i].type)) {
            follow_domain(v, i);
            write_hardware(v, i);
        }
    }
    pci_config_write(v->pdev->sbdf, PCI_COMMAND, 2,
                     pci_read16(v->pdev->sbdf, PCI_COMMAND) | PCI_COMMAND_MEMORY);
    v->decoding = true;
    for (unsigned int i = 0; i <= VPCI_ROM; i++) {
        if (is_memory(v->bars[i].type) && v->bars[i].enabled) {
            map_bar(v, i);
        }
    }
}

void vpci_bars_unmap(struct vpci_device *v)
{
    for (unsigned int i = 0; i <= VPCI_ROM; i++) {
        unmap_bar(v, i);
    }
    v->decoding = false;
}

static uint32_t read_bar(struct vpci_device *v, const struct vpci_register *r)
{
    const struct vpci_bar *bar = &v->bars[r->argument & 0xff];
    uint32_t flags;

    if (r->argument & VPCI_BAR_HIGH) {
        return (uint32_t)(bar->address >> 32);
    }
    flags = (bar->type == PCI_BAR_MEMORY64 ? PCI_BAR_TYPE_64 : 0) |
            (bar->prefetchable ? PCI_BAR_PREFETCH : 0);
    return (uint32_t)bar->address | flags;
}

static void write_bar(struct vpci_device *v, const struct vpci_register *r, uint32_t value,
                      uint32_t mask)
{
    struct vpci_bar *bar = &v->bars[r->argument & 0xff];
    unsigned int shift = r->argument & VPCI_BAR_HIGH ? 32 : 0;
    uint64_t address = (bar->address & ~((uint64_t)mask << shift)) | (uint64_t)value << shift;

    // Domain 0's takes effect in hardware, which it is not to do by halves: when decode comes on.
    if (v->filtered && v->decoding) {
        unmap_bar(v, r->argument & 0xff);
    }
    bar->address = address & ~(bar->size - 1);
    if (bar->type == PCI_BAR_MEMORY32) {
        bar->address = (uint32_t)bar->address;
    }
    if (v->filtered && v->decoding) {
        map_bar(v, r->argument & 0xff);
    }
}

static uint32_t read_rom(struct vpci_device *v, const struct vpci_register *r)
{
    const struct vpci_bar *rom = &v->bars[VPCI_ROM];

    (void)r;
    return (uint32_t)rom->address | (rom->enabled ? PCI_ROM_ENABLE : 0);
}

static void write_rom(struct vpci_device *v, const struct vpci_register *r, uint32_t value,
                      uint32_t mask)
{
    struct vpci_bar *rom = &v->bars[VPCI_ROM];
    uint32_t whole = (read_rom(v, r) & ~mask) | value;

    if (v->decoding && rom->enabled) {
        unmap_bar(v, VPCI_ROM);
    }
    rom->address = whole & PCI_ROM_MASK & ~(rom->size - 1);
    rom->enabled = whole & PCI_ROM_ENABLE;
    if (v->decoding) {
        follow_domain(v, VPCI_ROM);
        write_hardware(v, VPCI_ROM);
        if (rom->enabled) {
            map_bar(v, VPCI_ROM);
        }
    }
}

static bool add_rom(struct vpci_device *v)
{
    const struct pci_device *pdev = v->pdev;
    bool bridge = pdev->header_type == PCI_HEADER_BRIDGE;
    uint16_t offset = bridge ? PCI_ROM_BRIDGE : PCI_ROM_DEVICE;
    struct vpci_bar *rom = &v->bars[VPCI_ROM];

    rom->type = pdev->rom.type;
    rom->size = pdev->rom.size;
    rom->address = pdev->rom.address;
    if (rom->type != PCI_BAR_ROM) {
        return true;
    }
    rom->enabled = pci_read32(pdev->sbdf, offset) & PCI_ROM_ENABLE;
    return vpci_register_add(
        v,
        (struct vpci_register){.offset = offset, .size = 4, .read = read_rom, .write = write_rom});
}

// A BAR as another domain than domain 0 sees it: not placed yet, whole pages, which must be the
// function's alone. Ports are not given to it. (The rest of a page that a small BAR does not fill
// is the function's too, or nobody's.)
static void filter_bar(struct vpci_device *v, unsigned int index)
{
    struct vpci_bar *bar = &v->bars[index];
    const char *wrong = NULL;

    bar->address = 0;
    if (bar->type == PCI_BAR_MEMORY64_HIGH) {
        bar->type = v->bars[index - 1].type == PCI_BAR_MEMORY64 ? bar->type : PCI_BAR_NONE;
        return;
    }
    if (bar->type == PCI_BAR_NONE || bar->type == PCI_BAR_IO) {
        bar->type = PCI_BAR_NONE;
        return;
    }
    bar->size = MAX(bar->size, PAGE_SIZE);
    if (bar->machine == 0) {
        wrong = "it has no address on the machine";
    } else if (bar->machine % PAGE_SIZE) {
        wrong = "it does not begin at a page";
    }
    if (wrong) {
        log_warning("vPCI: " PCI_FORMAT " of domain %u: BAR %u is not shown: %s",
                    PCI_ARGUMENTS(v->pdev->sbdf), v->domain->id, index, wrong);
        bar->type = PCI_BAR_NONE;
    }
}

void vpci_bars_remember(struct vpci_device *v)
{
    for (unsigned int i = 0; !v->filtered && i < PCI_MAX_BARS; i++) {
        if (is_memory(v->bars[i].type) && v->bars[i].machine) {
            v->pdev->bars[i].address = v->bars[i].machine;
        }
    }
}

bool vpci_bars_init(struct vpci_device *v)
{
    unsigned int count = v->pdev->header_type == PCI_HEADER_BRIDGE ? 2 : PCI_MAX_BARS;
    bool room = true;

    for (unsigned int i = 0; i < count; i++) {
        const struct pci_bar *bar = &v->pdev->bars[i];
        struct vpci_register reg = {.offset = (uint16_t)(PCI_BAR0 + i * 4),
                                    .size = 4,
                                    .argument = i,
                                    .read = read_bar,
                                    .write = write_bar};

        v->bars[i] = (struct vpci_bar){.type = bar->type,
                                       .prefetchable = bar->prefetchable,
                                       .enabled = true,
                                       .size = bar->size,
                                       .machine = bar->address,
                                       .address = bar->address};
        if (v->filtered) {
            filter_bar(v, i);
        }
        if (v->bars[i].type == PCI_BAR_MEMORY64_HIGH) {
            reg.argument = (i - 1) | VPCI_BAR_HIGH;
        } else if (!is_memory(v->bars[i].type)) {
            continue; // I/O BARs are the hardware's: ports are not remapped
        }
        room = room && vpci_register_add(v, reg);
    }
    return room && (v->filtered || add_rom(v));
}
