# SPDX-License-Identifier: Apache-2.0
# The command that people and scripts use.
$(eval $(call program,usr/sbin/xl,$(sort $(wildcard xl/*.c)),$(LIB),$(LIB_LIBS)))
