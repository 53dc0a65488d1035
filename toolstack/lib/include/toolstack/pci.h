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

#define PCI_FACT_SIZE 64

// What else is known of a function by whoever names it; "": nothing. Hexadecimal but for the place,
// which is the path of bridges from the root bus on, as in 0000:00:1c.0/00.0.
struct pci_identity {
    char place[PCI_FACT_SIZE];
    char serial[PCI_FACT_SIZE];
    char vendor[PCI_FACT_SIZE];
    char device[PCI_FACT_SIZE];
};

struct pci_function {
    uint16_t segment;
    uint8_t bus;
    uint8_t device;
    uint8_t function;
    bool by_place; // it has no address until pci_identify
    struct pci_identity identity;
};

#define PCI_TEXT_SIZE 13

// "0000:03:00.1", where the segment may be left out, or "place=0000:00:1c.0/00.0"; then, with
// commas, place, vendor, device and serial as NAME=VALUE. Other words are not read.
bool pci_parse(const char *text, struct pci_function *function);
// The address alone, and all that pci_parse reads; the caller frees the latter.
void pci_format(const struct pci_function *function, char text[PCI_TEXT_SIZE]);
char *pci_format_whole(const struct pci_function *function);
bool pci_is_same(const struct pci_function *one, const struct pci_function *other);

// Looks whether a function is what its identity says, and finds the address of one that is named by
// its place. What is something else is refused.
struct error *pci_identify(struct toolstack *toolstack, struct pci_function *function) MUST_CHECK;

// All functions of the machine, whoever has them, as the hypervisor tells (hypfs); those of domain
// 0 if it tells nothing. The caller frees the array.
struct error *pci_list_machine(struct toolstack *toolstack, struct pci_function **functions,
                               size_t *count) MUST_CHECK;
// What the hypervisor says of a function: class, device, owner, place, serial or vendor; sysfs if
// it tells nothing at all. False: it has none. The hypervisor is open.
bool pci_read_fact(struct toolstack *toolstack, const struct pci_function *function,
                   const char *name, char text[PCI_FACT_SIZE]);

// Gives a function to a domain that does not run, or takes it back.
struct error *pci_assign(struct toolstack *toolstack, unsigned int domid,
                         const struct pci_function *function) MUST_CHECK;
struct error *pci_deassign(struct toolstack *toolstack, unsigned int domid,
                           const struct pci_function *function) MUST_CHECK;

// Whether the hypervisor shows PCI functions to PVH domains.
struct error *pci_check_support(struct toolstack *toolstack) MUST_CHECK;

// The functions that could be given: those of nobody, and of domain 0 without a driver, that are no
// bridges. The caller frees the array.
struct error *pci_list_assignable(struct toolstack *toolstack, struct pci_function **functions,
                                  size_t *count) MUST_CHECK;

// The functions, but bridges, whose class register, without its last byte, is code where mask has
// bits. The caller frees the array.
struct error *pci_list_class(struct toolstack *toolstack, uint32_t code, uint32_t mask,
                             struct pci_function **functions, size_t *count) MUST_CHECK;

// Takes the driver off a function and keeps others from taking it; the reverse gives it back to the
// kernel's drivers.
struct error *pci_make_assignable(const struct pci_function *function) MUST_CHECK;
struct error *pci_make_ordinary(const struct pci_function *function) MUST_CHECK;

#endif
