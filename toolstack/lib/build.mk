# SPDX-License-Identifier: Apache-2.0
# The library, linked into each program: $(LIB), and the libraries it needs, $(LIB_LIBS). What reads
# kernel images and JSON is linked statically: a control domain then needs no more than Xen's
# libraries, and a listing does not load decompressors.
LIB_SOURCES := $(sort $(wildcard lib/*.c lib/*/*.c))
$(eval $(call archive,libtoolstack,$(LIB_SOURCES)))
LIB := $(OBJ)/libtoolstack.a
LIB_LIBS := -lxencall -lxenforeignmemory -lxenevtchn -lxengnttab -lxenstore -lxentoolcore \
    -Wl,-Bstatic -ljson-c -lzstd -llzma -lbz2 -llz4 -lz -Wl,-Bdynamic

$(OBJ)/generated/%.h: lib/builder/%.asl
	@mkdir -p $(@D)
	@echo "  IASL toolstack/$<"
	$(Q)iasl -tc -p $(@D)/$* $< >$(@D)/$*.log 2>&1 || { cat $(@D)/$*.log; exit 1; }
	$(Q)mv $(@D)/$*.hex $@

$(OBJ)/lib/builder/acpi.o: $(OBJ)/generated/dsdt.h $(OBJ)/generated/pci_bus.h
