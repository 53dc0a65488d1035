# SPDX-License-Identifier: Apache-2.0
# The daemon that serves the consoles of all domains.
$(eval $(call program,usr/sbin/xenconsoled,$(sort $(wildcard xenconsoled/*.c)),$(LIB),$(LIB_LIBS)))
