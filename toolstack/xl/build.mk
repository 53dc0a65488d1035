# SPDX-License-Identifier: Apache-2.0
# The command that people and scripts use, its manual page, and completion of its commands.
$(eval $(call program,usr/sbin/xl,$(sort $(wildcard xl/*.c)),$(LIB),$(LIB_LIBS)))
$(eval $(call install_file,usr/share/man/man1/xl.1,0644,$(OBJ)/generated/xl.1))
$(eval $(call install_file,usr/share/bash-completion/completions/xl,0644,xl/bash-completion))

$(OBJ)/generated/make_manual: xl/man/make_manual.c xl/commands.def
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 -O1 $(WARNINGS) -o $@ $<

$(OBJ)/generated/xl.1: $(OBJ)/generated/make_manual
	$(Q)$< >$@

# What starts xl devd in a driver domain, and everything with a BSD-style init.
$(eval $(call install_file,usr/lib/systemd/system/xendriverdomain.service,0644,xl/init/xendriverdomain.service))
$(eval $(call install_file,etc/init.d/xendriverdomain,0755,xl/init/xendriverdomain))
$(eval $(call install_file,etc/rc.d/rc.xen,0755,xl/init/rc.xen))
