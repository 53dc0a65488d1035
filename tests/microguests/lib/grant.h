// SPDX-License-Identifier: Apache-2.0
// Grants of a microguest's own pages, by grant table version 1 with one frame.
#ifndef MICROGUEST_GRANT_H
#define MICROGUEST_GRANT_H

#include "cpu.h"

#include <xen/xen.h>

#define GRANT_FIRST_FREE 8u // the ABI reserves lower references

// Lets @domid read and write the page at @address, a multiple of the page size, by @reference.
// Returns 0, or the negative errno of mapping the table, which the first call does.
long grant_access(uint32_t reference, domid_t domid, const void *address);

// Takes that back. Mappings that exist stay.
void grant_end(uint32_t reference);

#endif
