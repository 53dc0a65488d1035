// SPDX-License-Identifier: Apache-2.0
// See edu.h. The registers stay where firmware has put them, for domain 0; another domain finds
// them nowhere and puts them where it has no memory.

#include "edu.h"

#include "pci.h"
#include "xen.h"

#define EDU_ID 0x11e81234u
#define FREE_ADDRESS 0xe0000000u
#define BAR_ADDRESS 0xfffffff0u
#define REGISTER_RAISE 0x60
#define REGISTER_END 0x64
#define REGISTER_SOURCE 0x80
#define REGISTER_DESTINATION 0x88
#define REGISTER_COUNT 0x90
#define REGISTER_COMMAND 0x98
#define COMMAND_RUN 1u
#define COMMAND_TO_MEMORY 2u
#define BUFFER 0x40000u // as the engine sees it
#define PATIENCE_NS 5000000000ul

static uint64_t registers;

static void write64(unsigned int offset, uint64_t value)
{
    *(volatile uint64_t *)(registers + offset) = value;
}

static void write32(unsigned int offset, uint32_t value)
{
    *(volatile uint32_t *)(registers + offset) = value;
}

unsigned int edu_start(void)
{
    unsigned int device = pci_find(EDU_ID);

    if (device) {
        if (!(pci_read(device, PCI_BAR0) & BAR_ADDRESS)) {
            pci_write(device, PCI_BAR0, FREE_ADDRESS);
        }
        registers = pci_read(device, PCI_BAR0) & BAR_ADDRESS;
        pci_write(device, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    }
    return device;
}

void edu_order(uint64_t address, unsigned int count, bool to_memory)
{
    write64(REGISTER_SOURCE, to_memory ? BUFFER : address);
    write64(REGISTER_DESTINATION, to_memory ? address : BUFFER);
    write64(REGISTER_COUNT, count);
    write64(REGISTER_COMMAND, COMMAND_RUN | (to_memory ? COMMAND_TO_MEMORY : 0));
}

bool edu_wait(void)
{
    uint64_t end = xen_time() + PATIENCE_NS;

    while (*(volatile uint64_t *)(registers + REGISTER_COMMAND) & COMMAND_RUN) {
        if (xen_time() > end) {
            return false;
        }
        hypercall(__HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0, 0, 0);
    }
    return true;
}

bool edu_transfer(uint64_t address, unsigned int count, bool to_memory)
{
    edu_order(address, count, to_memory);
    return edu_wait();
}

void edu_raise_interrupt(void)
{
    write32(REGISTER_RAISE, 1);
}

void edu_end_interrupt(void)
{
    write32(REGISTER_END, 1);
}
