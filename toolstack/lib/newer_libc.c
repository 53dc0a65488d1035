// SPDX-License-Identifier: Apache-2.0
//
// Xen's libraries are linked into the programs from Debian 13's archives, which were compiled with
// its libc. What they call there and an older libc of the building machine does not have stands
// here: the conversions of C23, which differ from the known ones only in reading 0b for binary.
#include <stdlib.h>

long __isoc23_strtol(const char *text, char **end, int base);
unsigned long __isoc23_strtoul(const char *text, char **end, int base);

long __isoc23_strtol(const char *text, char **end, int base)
{
    return strtol(text, end, base);
}

unsigned long __isoc23_strtoul(const char *text, char **end, int base)
{
    return strtoul(text, end, base);
}
