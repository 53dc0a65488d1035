# SPDX-License-Identifier: Apache-2.0
# What is run once, after xenstored and before anything else.
$(eval $(call program,usr/sbin/xen-init-dom0,init-dom0/main.c,$(LIB),$(LIB_LIBS)))
