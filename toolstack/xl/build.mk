# SPDX-License-Identifier: Apache-2.0
# The command that people and scripts use, its manual pages (one of all, and one for each command),
# and completion of its commands.
XL_COMMANDS := $(shell sed -n 's/^ *X."\([a-z0-9-]*\)".*/\1/p' xl/commands.def)
$(eval $(call program,usr/sbin/xl,$(sort $(wildcard xl/*.c)),$(LIB),$(LIB_LIBS)))
$(foreach page,xl $(XL_COMMANDS:%=xl-%),\
    $(eval $(call install_file,usr/share/man/man1/$(page).1,0644,$(OBJ)/generated/$(page).1)))
$(eval $(call install_file,usr/share/bash-completion/completions/xl,0644,xl/bash-completion))

$(OBJ)/generated/make_manual: xl/man/make_manual.c xl/commands.def
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 -O1 $(WARNINGS) -o $@ $<

$(OBJ)/generated/xl.1: $(OBJ)/generated/make_manual
	$(Q)$< >$@

$(OBJ)/generated/xl-%.1: $(OBJ)/generated/make_manual
	$(Q)$< $* >$@

# What starts xl devd in a driver domain, and everything with a BSD-style init.
$(eval $(call install_file,usr/lib/systemd/system/xendriverdomain.service,0644,xl/init/xendriverdomain.service))
$(eval $(call install_file,etc/init.d/xendriverdomain,0755,xl/init/xendriverdomain))
$(eval $(call install_file,etc/rc.d/rc.xen,0755,xl/init/rc.xen))
