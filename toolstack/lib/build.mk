# SPDX-License-Identifier: Apache-2.0
# The library, linked into each program: $(LIB), and the libraries it needs, $(LIB_LIBS). All but libc
# and libxenstore are linked statically: a control domain needs no more than those, and starting a
# command, which is most of what a listing costs, loads three libraries instead of a dozen. Debian's
# archive of libxenstore has no thread that takes events in: whoever polls its descriptor waits for
# ever.
LIB_SOURCES := $(sort $(wildcard lib/*.c lib/*/*.c))
$(eval $(call archive,libtoolstack,$(LIB_SOURCES)))
LIB := $(OBJ)/libtoolstack.a
LIB_LIBS := -lxenstore -Wl,-Bstatic -lxencall -lxenforeignmemory -lxenevtchn -lxengnttab -lxentoolcore \
    -lxentoollog $(LIB) -ljson-c -lzstd -llzma -lbz2 -llz4 -lz -Wl,-Bdynamic

$(OBJ)/generated/%.h: lib/builder/%.asl
	@mkdir -p $(@D)
	@echo "  IASL toolstack/$<"
	$(Q)iasl -tc -p $(@D)/$* $< >$(@D)/$*.log 2>&1 || { cat $(@D)/$*.log; exit 1; }
	$(Q)mv $(@D)/$*.hex $@

$(OBJ)/lib/builder/acpi.o: $(OBJ)/generated/dsdt.h $(OBJ)/generated/pci_bus.h
