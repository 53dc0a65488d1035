// SPDX-License-Identifier: Apache-2.0
// Text formatting for those that take a va_list; see console.h for the format.
#ifndef BULKHEAD_FORMAT_H
#define BULKHEAD_FORMAT_H

#include <stdarg.h>

#include <bulkhead/types.h>

// As format_string (console.h).
int format_string_args(char *buffer, size_t size, const char *format, va_list args);

#endif
