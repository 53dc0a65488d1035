# SPDX-License-Identifier: Apache-2.0
# The daemon that serves the consoles of all domains.
$(eval $(call program,usr/sbin/xenconsoled,$(sort $(wildcard xenconsoled/*.c)),$(LIB),$(LIB_LIBS)))
$(eval $(call install_file,usr/lib/systemd/system/xenconsoled.service,0644,xenconsoled/init/xenconsoled.service))
$(eval $(call install_file,etc/init.d/xenconsoled,0755,xenconsoled/init/xenconsoled))
$(eval $(call install_file,usr/share/man/man8/xenconsoled.8,0644,../docs/man/xenconsoled.8))
