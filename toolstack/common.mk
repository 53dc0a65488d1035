# SPDX-License-Identifier: Apache-2.0
# What every component of the toolstack is built with. A component NAME is a folder with a build.mk,
# which the Makefile includes; there it calls
#   $(call archive,NAME,SOURCES)                 an archive of objects, $(OBJ)/NAME.a
#   $(call program,PATH,SOURCES,ARCHIVES,LIBS)   a program, installed as PATH under the tree
#   $(call install_file,PATH,MODE,SOURCE)        any other file of the tree
# in an $(eval ...). Paths of sources are relative to toolstack/. A component that needs a flag of its
# own sets it for its objects: $(OBJ)/NAME/%.o: CPPFLAGS += -I...
ROOT := $(abspath ..)
O ?= $(ROOT)/out/x86_64
TREE := $(O)/toolstack
ifeq ($(origin CC),default)
CC := gcc
endif
OBJ := $(O)/toolstack-$(notdir $(CC))
DEBIAN13 := $(ROOT)/out/debian13/root

# V=1 shows the commands.
Q := $(if $(V),,@)

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
    -Wformat=2 -Wno-format-nonliteral
CPPFLAGS := -D_GNU_SOURCE -D__XEN_TOOLS__ -D_FORTIFY_SOURCE=2 -Ilib/include -Ilib -I$(OBJ)/generated \
    -isystem $(DEBIAN13)/usr/include -MMD -MP
CFLAGS := -std=gnu17 -O2 -g -fPIE -fstack-protector-strong -ffunction-sections -fdata-sections \
    -fno-strict-aliasing -ffile-prefix-map=$(ROOT)=. $(WARNINGS)
# Debian 13's libraries are linked against its libc, which may be newer than this machine's.
LDFLAGS := -pie -Wl,--gc-sections -Wl,-z,relro,-z,now -Wl,--as-needed -Wl,--build-id=none \
    -L$(DEBIAN13)/usr/lib/x86_64-linux-gnu -Wl,--allow-shlib-undefined

objects = $(patsubst %.c,$(OBJ)/%.o,$(1))

define archive
ARCHIVES += $(OBJ)/$(strip $(1)).a
OBJECTS += $(call objects,$(2))
$(OBJ)/$(strip $(1)).a: $(call objects,$(2))
	@rm -f $$@
	$(Q)ar rcs $$@ $$^
endef

# What says which libraries programs are linked with.
LINKING := common.mk $(wildcard */build.mk)

define program
FILES += $(TREE)/$(strip $(1))
OBJECTS += $(call objects,$(2))
$(TREE)/$(strip $(1)): $(call objects,$(2)) $(3) $(LINKING)
	@mkdir -p $$(@D) $(OBJ)
	@echo "  LD $$(@F)"
	$(Q)$(CC) $(LDFLAGS) -o $(OBJ)/$$(@F).debug $$(filter-out %.mk,$$^) $(4)
	$(Q)strip -o $$@ $(OBJ)/$$(@F).debug
endef

define install_file
FILES += $(TREE)/$(strip $(1))
$(TREE)/$(strip $(1)): $(strip $(3))
	@install -D -m $(strip $(2)) $$< $$@
endef

$(OBJ)/%.o: %.c Makefile common.mk
	@mkdir -p $(@D)
	@echo "  CC toolstack/$<"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
