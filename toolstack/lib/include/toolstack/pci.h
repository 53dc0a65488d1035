// SPDX-License-Identifier: Apache-2.0
//
// PCI functions of the machine: naming them, looking at them through sysfs, and giving them to
// domains. A function that is given must have no driver in this domain.
#ifndef TOOLSTACK_PCI_H
#define TOOLSTACK_PCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <toolstack/error.h>

struct toolstack;

struct pci_function {
    uint16_t segment;
    uint8_t bus;
    uint8_t device;
    uint8_t function;
};

#define PCI_TEXT_SIZE 13

// "0000:03:00.1"; the segment may be left out. Whatever follows a comma is not read.
bool pci_parse(const char *text, struct pci_function *function);
void pci_format(const struct pci_function *function, char text[PCI_TEXT_SIZE]);
bool pci_is_same(const struct pci_function *one, const struct pci_function *other);

// Gives a function to a domain that does not run, or takes it back.
struct error *pci_assign(struct toolstack *toolstack, unsigned int domid,
                         const struct pci_function *function) MUST_CHECK;
struct error *pci_deassign(struct toolstack *toolstack, unsigned int domid,
                           const struct pci_function *function) MUST_CHECK;

// Whether the hypervisor shows PCI functions to PVH domains.
struct error *pci_check_support(struct toolstack *toolstack) MUST_CHECK;

// The functions that could be given: those of this domain without a driver that are no bridges. The
// caller frees the array.
struct error *pci_list_assignable(struct pci_function **functions, size_t *count) MUST_CHECK;

// The functions of this domain whose class register, without its last byte, is code where mask has
// bits. The caller frees the array.
struct error *pci_list_class(uint32_t code, uint32_t mask, struct pci_function **functions,
                             size_t *count) MUST_CHECK;

// Takes the driver off a function and keeps others from taking it; the reverse gives it back to the
// kernel's drivers.
struct error *pci_make_assignable(const struct pci_function *function) MUST_CHECK;
struct error *pci_make_ordinary(const struct pci_function *function) MUST_CHECK;

#endif
