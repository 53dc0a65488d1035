// SPDX-License-Identifier: Apache-2.0
//
// The names of PCI functions: segment, bus, device, function, in hexadecimal.
#include <toolstack/pci.h>

#include <stdio.h>

bool pci_parse(const char *text, struct pci_function *function)
{
    unsigned int segment = 0;
    unsigned int bus;
    unsigned int device;
    unsigned int number;
    int end = 0;

    if (sscanf(text, "%4x:%2x:%2x.%1x%n", &segment, &bus, &device, &number, &end) != 4) {
        segment = 0;
        end = 0;
        if (sscanf(text, "%2x:%2x.%1x%n", &bus, &device, &number, &end) != 3)
            return false;
    }
    if ((text[end] && text[end] != ',') || device > 31 || number > 7)
        return false;
    *function =
        (struct pci_function){(uint16_t)segment, (uint8_t)bus, (uint8_t)device, (uint8_t)number};
    return true;
}

void pci_format(const struct pci_function *function, char text[PCI_TEXT_SIZE])
{
    snprintf(text, PCI_TEXT_SIZE, "%04x:%02x:%02x.%x", function->segment, function->bus,
             function->device, function->function & 7u);
}

// Field by field: the structure ends in a byte that nobody sets.
bool pci_is_same(const struct pci_function *one, const struct pci_function *other)
{
    return one->segment == other->segment && one->bus == other->bus &&
           one->device == other->device && one->function == other->function;
}
