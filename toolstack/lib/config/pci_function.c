// SPDX-License-Identifier: Apache-2.0
//
// The names of PCI functions: segment, bus, device, function, in hexadecimal, and what else a
// configuration says of one. One table has the words for reading and for writing.
#include <toolstack/memory.h>
#include <toolstack/pci.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    size_t offset; // in struct pci_identity
} words[] = {
    {"place", offsetof(struct pci_identity, place)},
    {"serial", offsetof(struct pci_identity, serial)},
    {"vendor", offsetof(struct pci_identity, vendor)},
    {"device", offsetof(struct pci_identity, device)},
};

enum { WORDS = sizeof(words) / sizeof(words[0]) };

// How many characters the address has; 0: there is none.
static size_t parse_address(const char *text, struct pci_function *function)
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
            return 0;
    }
    if (device > 31 || number > 7)
        return 0;
    function->segment = (uint16_t)segment;
    function->bus = (uint8_t)bus;
    function->device = (uint8_t)device;
    function->function = (uint8_t)number;
    return (size_t)end;
}

// A NAME=VALUE of so many characters; false if the value is too long or empty.
static bool parse_word(const char *text, size_t length, struct pci_identity *identity)
{
    for (size_t i = 0; i < WORDS; i++) {
        size_t name = strlen(words[i].name);

        if (length <= name || strncmp(text, words[i].name, name) != 0 || text[name] != '=')
            continue;
        size_t size = length - name - 1;

        if (size == 0 || size >= PCI_FACT_SIZE)
            return false;
        memcpy((char *)identity + words[i].offset, text + name + 1, size);
        return true;
    }
    return true;
}

bool pci_parse(const char *text, struct pci_function *function)
{
    *function = (struct pci_function){0};
    size_t length = parse_address(text, function);

    function->by_place = length == 0;
    if (length) {
        text += length;
        if (*text && *text++ != ',')
            return false;
    }
    while (*text) {
        length = strcspn(text, ",");
        if (!parse_word(text, length, &function->identity))
            return false;
        text += length + (text[length] == ',');
    }
    return !function->by_place || function->identity.place[0];
}

void pci_format(const struct pci_function *function, char text[PCI_TEXT_SIZE])
{
    snprintf(text, PCI_TEXT_SIZE, "%04x:%02x:%02x.%x", function->segment, function->bus,
             function->device, function->function & 7u);
}

char *pci_format_whole(const struct pci_function *function)
{
    char address[PCI_TEXT_SIZE] = "";

    if (!function->by_place)
        pci_format(function, address);
    char *text = memory_copy_text(address);

    for (size_t i = 0; i < WORDS; i++) {
        const char *value = (const char *)&function->identity + words[i].offset;

        if (!*value)
            continue;
        char *longer = memory_format("%s%s%s=%s", text, *text ? "," : "", words[i].name, value);

        free(text);
        text = longer;
    }
    return text;
}

// By the address, if both have one.
bool pci_is_same(const struct pci_function *one, const struct pci_function *other)
{
    if (one->by_place || other->by_place)
        return !strcmp(one->identity.place, other->identity.place);
    return one->segment == other->segment && one->bus == other->bus &&
           one->device == other->device && one->function == other->function;
}
