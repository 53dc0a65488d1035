# SPDX-License-Identifier: Apache-2.0
# Generates the strings of bulkhead/build_info.h. Rebuilt when the revision or the compiler changes.
BUILD_REVISION := $(shell git -C $(ROOT) rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
BUILD_DATE := $(shell git -C $(ROOT) log -1 --format=%cI 2>/dev/null || echo unknown)
BUILD_COMPILER := $(shell $(CC) --version | head -n 1)
BUILD_CONFIG := $(filter-out -ffile-prefix-map=%,$(CFLAGS))
OBJECTS += $(OBJ)/build_info.o

$(OBJ)/build_info.text: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(BUILD_REVISION) $(BUILD_DATE) $(BUILD_COMPILER) $(BUILD_CONFIG)' | cmp -s - $@ || \
	    printf '%s\n' '$(BUILD_REVISION) $(BUILD_DATE) $(BUILD_COMPILER) $(BUILD_CONFIG)' >$@

$(OBJ)/build_info.c: $(OBJ)/build_info.text build_info.mk
	@{ echo '#include <bulkhead/build_info.h>'; \
	echo 'const char build_info_extra_version[] = "-bulkhead";'; \
	echo 'const char build_info_compiler[] = "$(BUILD_COMPILER)";'; \
	echo 'const char build_info_by[] = "bulkhead", build_info_domain[] = "localdomain";'; \
	echo 'const char build_info_date[] = "$(BUILD_DATE)";'; \
	echo 'const char build_info_config[] = "$(BUILD_CONFIG)";'; \
	echo 'const char build_info_revision[] = "$(BUILD_REVISION)";'; } >$@

$(OBJ)/build_info.o: $(OBJ)/build_info.c
	$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

FORCE:
.PHONY: FORCE
