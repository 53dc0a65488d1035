# SPDX-License-Identifier: Apache-2.0
# xenstored: a core without input and output, and the daemon around it.
XENSTORED_CORE := $(sort $(wildcard xenstored/core/*.c))
XENSTORED_SERVER := $(sort $(wildcard xenstored/server/*.c))

$(eval $(call archive,xenstored-core,$(XENSTORED_CORE)))
$(eval $(call program,usr/sbin/xenstored,$(XENSTORED_SERVER),$(OBJ)/xenstored-core.a,\
    -lxencall -lxenevtchn -lxengnttab))
$(eval $(call install_file,usr/lib/systemd/system/xenstored.service,0644,xenstored/init/xenstored.service))
$(eval $(call install_file,etc/init.d/xenstored,0755,xenstored/init/xenstored))
$(eval $(call install_file,usr/share/man/man8/xenstored.8,0644,../docs/man/xenstored.8))
