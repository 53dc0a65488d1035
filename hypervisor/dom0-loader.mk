# SPDX-License-Identifier: Apache-2.0
# The domain 0 loader is a program of its own, built by its own Makefile and linked in as data.
DOM0_LOADER := $(O)/dom0-loader/loader.o
OBJECTS += $(DOM0_LOADER)

$(DOM0_LOADER): FORCE
	@$(MAKE) -C dom0-loader O=$(abspath $(O)) CC=$(CC) XEN_INCLUDE=$(XEN_HEADERS)

FORCE:
.PHONY: FORCE
