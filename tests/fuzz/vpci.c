// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: a sequence of accesses by a domain to its virtual PCI functions. The input
// begins with bytes that change the device itself (its capability lists and BARs may lie) and one
// that says whether it is domain 0 or another; then six bytes make one access. The fake machine of
// tests/unit/vpci checks what must never happen.
#include <string.h>

#include "fake_machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void change_device(const uint8_t *data)
{
    struct fake_function *nic = &fake_functions[1];

    for (unsigned int i = 0; i < 8; i++) {
        // Not the identity: the function has to be found.
        nic->config[0x0e + data[i * 2] % 0xf0] ^= data[i * 2 + 1];
    }
}

static void access(const uint8_t *data)
{
    static const pci_sbdf_t functions[] = {{0, 0, 0x10}, {0, 0, 0x18}, {0, 0, 0x20}, {0, 1, 0},
                                           {0, 0, 0x08}, {0, 0, 0x10}, {0, 0, 0x00}, {0, 0, 0x08}};
    unsigned int size = 1u << (data[0] >> 2) % 3;
    pci_sbdf_t sbdf = functions[data[0] >> 4 & 7];
    unsigned int offset = (unsigned int)(data[1] - data[1] % size);
    uint64_t address = NIC_BAR0 + ((uint64_t)data[1] << 5), value;
    uint32_t word;

    memcpy(&word, data + 2, sizeof(word));
    switch (data[0] & 3) {
    case 0:
        guest_read(sbdf, offset, size);
        break;
    case 1:
        guest_write(sbdf, offset, size, word);
        break;
    case 2:
        guest_memory_write(address | (word & 0x18), size, word);
        break;
    default:
        guest_memory_read(address | (word & 0x18), size, &value);
        fake_raise(0xfee00000, word);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 17) {
        return 0;
    }
    fake_machine_reset();
    change_device(data);
    if (data[16] & 1) {
        fake_guest_start();
    } else {
        fake_machine_start();
    }
    for (size_t i = 17; i + 6 <= size; i += 6) {
        access(data + i);
    }
    fake_machine_stop();
    return 0;
}
