// SPDX-License-Identifier: Apache-2.0
// The option hide=[SEGMENT:]BUS:DEVICE.FUNCTION[,...] or hide=all: functions that domain 0 never
// sees. Other domains can get them.
// A small table, filled while the command line is parsed and only read afterwards.
#include <bulkhead/cmdline.h>
#include <bulkhead/console.h>
#include <bulkhead/errno.h>
#include <bulkhead/string.h>

#include "pci_private.h"

#define MAX_HIDDEN 64u

static pci_sbdf_t hidden[MAX_HIDDEN];
static unsigned int hidden_count;
static bool all_hidden;

bool pci_parse_sbdf(const char *text, const char **end, pci_sbdf_t *out)
{
    uint64_t part[3] = {0};
    unsigned int parts = 0;
    uint64_t segment, function;
    const char *p = text;

    do {
        const char *start = parts ? p + 1 : p;

        part[parts++] = string_to_number(start, &p, 16);
        if (p == start) {
            return false;
        }
    } while (*p == ':' && parts < 3);
    if (parts < 2 || *p != '.') {
        return false;
    }
    segment = parts == 3 ? part[0] : 0;
    text = p + 1;
    function = string_to_number(text, &p, 16);
    if (p == text || segment > 0xffff || part[parts - 2] > 0xff || part[parts - 1] > 0x1f ||
        function > 7) {
        return false;
    }
    *out = PCI_SBDF(segment, part[parts - 2], PCI_DEVFN(part[parts - 1], function));
    *end = p;
    return true;
}

static int parse_hide(const char *value)
{
    const char *p = value;

    if (!strcmp(value, "all")) {
        all_hidden = true;
        return 0;
    }
    for (;;) {
        pci_sbdf_t sbdf;

        if (hidden_count == MAX_HIDDEN || !pci_parse_sbdf(p, &p, &sbdf)) {
            return -XEN_EINVAL;
        }
        hidden[hidden_count++] = sbdf;
        if (*p == '\0') {
            return 0;
        }
        if (*p++ != ',') {
            return -XEN_EINVAL;
        }
    }
}

CMDLINE_OPTION(hide, .name = "hide", .parse = parse_hide);

bool pci_hide_option_has(pci_sbdf_t sbdf)
{
    for (unsigned int i = 0; i < hidden_count; i++) {
        if (pci_sbdf_equal(hidden[i], sbdf)) {
            return true;
        }
    }
    return all_hidden;
}

void pci_hide_option_check(void)
{
    for (unsigned int i = 0; i < hidden_count; i++) {
        if (!pci_device_find(hidden[i])) {
            log_warning("PCI: hide= names " PCI_FORMAT ", where there is nothing",
                        PCI_ARGUMENTS(hidden[i]));
        }
    }
}
