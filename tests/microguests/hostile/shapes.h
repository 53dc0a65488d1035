// SPDX-License-Identifier: Apache-2.0
// The hypercalls that the random ones are made after. A shape is a string, one letter a field, each
// aligned to its size:
//   d domid (16 bits)      w any 16 bits        s small 16 bits     b byte
//   n number (32 bits)     k small 32 bits      p event port        v vcpu
//   r grant reference      H grant handle       f flag bits         i parameter's index
//   N number (64 bits)     c small 64 bits      g frame number      a address of a frame
//   h pointer              l pointer to a list of frames, none of them the program's
//   t time                 x frame or reference (64 bits)
//   o order of an extent: small, or more than any domain has
//   _ aligns to 8
#ifndef HOSTILE_SHAPES_H
#define HOSTILE_SHAPES_H

#include <stdint.h>
#include <xen/xen.h>

enum form {
    POINTER_SECOND,       // operation, pointer
    POINTER_SECOND_COUNT, // operation, pointer, count
    POINTER_THIRD,        // operation, vcpu, pointer
    POINTER_FIRST,        // pointer
    PLAIN,                // operation, number, pointer
};

struct shape {
    uint8_t number, form;
    uint16_t operation;
    uint16_t size; // of the argument's structure, where several follow each other
    const char *fields;
};

extern const struct shape shapes[];
extern const unsigned int shapes_number;

#endif
