// SPDX-License-Identifier: Apache-2.0
// One access to the configuration space of a virtual function: bytes that a register covers are
// its, all others are the hardware's, or nobody's where they are filtered. The device's lock is
// held.
#include "vpci_private.h"

bool vpci_register_add(struct vpci_device *v, struct vpci_register reg)
{
    if (v->register_count == VPCI_MAX_REGISTERS) {
        return false;
    }
    v->registers[v->register_count++] = reg;
    return true;
}

static const struct vpci_register *find_register(const struct vpci_device *v, unsigned int byte)
{
    for (unsigned int i = 0; i < v->register_count; i++) {
        const struct vpci_register *r = &v->registers[i];

        if (byte >= r->offset && byte < r->offset + r->size) {
            return r;
        }
    }
    return NULL;
}

static uint32_t ones(unsigned int bytes)
{
    return bytes >= 4 ? ~0u : (1u << bytes * 8) - 1;
}

// Bytes from `byte` that belong to the same register, or to none, at most `left`.
static unsigned int run_length(const struct vpci_device *v, unsigned int byte, unsigned int left,
                               const struct vpci_register **reg)
{
    unsigned int n = 1;

    *reg = find_register(v, byte);
    while (n < left && find_register(v, byte + n) == *reg) {
        n++;
    }
    return n;
}

// Hardware accesses are naturally aligned: a run of bytes is done in as few as that allows.
static unsigned int aligned_size(unsigned int offset, unsigned int left)
{
    return left >= 4 && offset % 4 == 0 ? 4 : left >= 2 && offset % 2 == 0 ? 2 : 1;
}

void vpci_make_readable(struct vpci_device *v, unsigned int offset, unsigned int size)
{
    for (unsigned int i = offset; i < offset + size && i < PCI_CONFIG_SIZE; i++) {
        v->readable[i / 64] |= 1UL << i % 64;
    }
}

// Ones in the bytes that show through.
static uint32_t filter(const struct vpci_device *v, unsigned int offset, unsigned int count)
{
    uint32_t mask = 0;

    for (unsigned int i = 0; i < count; i++) {
        unsigned int byte = offset + i;

        if (!v->filtered || (byte < PCI_CONFIG_SIZE && v->readable[byte / 64] >> byte % 64 & 1)) {
            mask |= 0xffu << i * 8;
        }
    }
    return mask;
}

static uint32_t hardware_read(const struct vpci_device *v, unsigned int offset, unsigned int count)
{
    uint32_t value = 0;

    for (unsigned int done = 0; done < count;) {
        unsigned int size = aligned_size(offset + done, count - done);

        value |= pci_config_read(v->pdev->sbdf, offset + done, size) << done * 8;
        done += size;
    }
    return value & filter(v, offset, count);
}

static void hardware_write(const struct vpci_device *v, unsigned int offset, unsigned int count,
                           uint32_t value)
{
    if (v->read_only || v->filtered) {
        return;
    }
    for (unsigned int done = 0; done < count;) {
        unsigned int size = aligned_size(offset + done, count - done);

        pci_config_write(v->pdev->sbdf, offset + done, size, value >> done * 8 & ones(size));
        done += size;
    }
}

static uint32_t register_read(struct vpci_device *v, const struct vpci_register *r,
                              unsigned int byte)
{
    uint32_t value = r->read ? r->read(v, r) : r->argument;
    unsigned int shift = byte - r->offset;

    return shift >= 4 ? 0 : value >> shift * 8;
}

static unsigned int visible_size(const struct vpci_device *v)
{
    return v->filtered ? PCI_CONFIG_SIZE : v->pdev->config_size;
}

uint32_t vpci_device_read(struct vpci_device *v, unsigned int offset, unsigned int size)
{
    uint32_t value = 0;

    if (offset + size > visible_size(v)) {
        return ones(size);
    }
    for (unsigned int done = 0; done < size;) {
        const struct vpci_register *r;
        unsigned int n = run_length(v, offset + done, size - done, &r);
        uint32_t part = r ? register_read(v, r, offset + done) : hardware_read(v, offset + done, n);

        value |= (part & ones(n)) << done * 8;
        done += n;
    }
    return value;
}

void vpci_device_write(struct vpci_device *v, unsigned int offset, unsigned int size,
                       uint32_t value)
{
    if (offset + size > visible_size(v)) {
        return;
    }
    for (unsigned int done = 0; done < size;) {
        const struct vpci_register *r;
        unsigned int n = run_length(v, offset + done, size - done, &r);
        uint32_t part = value >> done * 8 & ones(n);
        unsigned int shift = r ? (offset + done - r->offset) * 8 : 0;

        if (!r) {
            hardware_write(v, offset + done, n, part);
        } else if (r->write && shift < 32) {
            r->write(v, r, part << shift, ones(n) << shift);
        }
        done += n;
    }
}
