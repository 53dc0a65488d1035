# SPDX-License-Identifier: Apache-2.0
# The daemon that starts the machine's domains and keeps its driver domains alive.
$(eval $(call program,usr/sbin/bulkheadd,$(sort $(wildcard bulkheadd/*.c)),$(LIB),$(LIB_LIBS)))
$(eval $(call install_file,usr/lib/systemd/system/bulkheadd.service,0644,bulkheadd/init/bulkheadd.service))
$(eval $(call install_file,etc/init.d/bulkheadd,0755,bulkheadd/init/bulkheadd))
$(eval $(call install_file,etc/bulkhead/launch.conf.example,0644,../configs/launch.conf))
$(eval $(call install_file,usr/share/man/man8/bulkheadd.8,0644,../docs/man/bulkheadd.8))
