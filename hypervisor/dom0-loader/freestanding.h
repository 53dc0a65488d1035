// SPDX-License-Identifier: Apache-2.0
/*
 * What the loader's own code and libzstd need of a C library, besides <string.h>.
 */
#ifndef DOM0_LOADER_FREESTANDING_H
#define DOM0_LOADER_FREESTANDING_H

/* Writes @message and a newline to the console and shuts domain 0 down as crashed. */
_Noreturn void loader_give_up(const char *message);

#endif
