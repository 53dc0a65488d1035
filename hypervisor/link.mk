# SPDX-License-Identifier: Apache-2.0
# Links the image. The symbol table for backtraces is made from a first link without one; it lies
# behind all code, so the second link moves no function. The ELF64 image becomes an ELF32 container
# of the same bytes, because multiboot loaders take no other.
IMAGE_LAYOUT := arch/x86/boot/link.ld
LDFLAGS := -nostdlib -static -z max-page-size=4096 -z noexecstack --build-id=none -T $(IMAGE_LAYOUT) \
    $(LDFLAGS_EXTRA)
SYMBOLS := arch/x86/cpu/symbols.sh

$(OBJ)/symbols-empty.S: $(SYMBOLS)
	@mkdir -p $(@D)
	sh $(SYMBOLS) </dev/null >$@

$(OBJ)/first-link: $(OBJECTS) $(OBJ)/symbols-empty.o $(IMAGE_LAYOUT)
	$(LD) $(LDFLAGS) -o $@ $(OBJECTS) $(OBJ)/symbols-empty.o

$(OBJ)/symbols.S: $(OBJ)/first-link $(SYMBOLS)
	nm $< | sh $(SYMBOLS) >$@

$(OBJ)/symbols%.o: $(OBJ)/symbols%.S
	$(CC) -c -o $@ $<

$(OBJ)/symbols.o: $(OBJ)/symbols.S
	$(CC) -c -o $@ $<

$(O)/bulkhead-syms: $(OBJECTS) $(OBJ)/symbols.o $(IMAGE_LAYOUT)
	$(LD) $(LDFLAGS) -o $@ $(OBJECTS) $(OBJ)/symbols.o

$(O)/bulkhead: $(O)/bulkhead-syms
	objcopy -O elf32-i386 --strip-all $< $@
