#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Writes the assembly source of the symbol table that backtraces use. Reads what nm prints of the
# image (address, kind, name) on standard input; nothing there gives an empty table. Addresses are
# kept as distances from image_start.
LC_ALL=C sort | awk '
    BEGIN { base = "ffffffff80200000"; count = 0; offset = 0 }
    # The upper half is the same for all: the lower eight digits tell the distance.
    function digits(s,   i, n) {
        n = 0
        s = substr(s, 9)
        for (i = 1; i <= length(s); i++) n = n * 16 + index("0123456789abcdef", substr(s, i, 1)) - 1
        return n
    }
    $2 ~ /^[tT]$/ && $1 != last {
        last = $1
        address[count] = digits($1) - digits(base)
        name[count++] = $3
    }
    END {
        print "    .section .symbol_table, \"a\""
        print "    .globl symbol_count, symbol_addresses, symbol_names, symbol_text"
        print "    .balign 8"
        print "symbol_count: .quad " count
        print "symbol_addresses:"
        for (i = 0; i < count; i++) print "    .long " address[i]
        print "symbol_names:"
        for (i = 0; i < count; i++) { print "    .long " offset; offset += length(name[i]) + 1 }
        print "symbol_text:"
        for (i = 0; i < count; i++) print "    .asciz \"" name[i] "\""
        print "    .section .note.GNU-stack, \"\", @progbits"
    }'
