# SPDX-License-Identifier: Apache-2.0
# The scripts that connect a backend to a bridge, a switch, a disk; part of the toolstack's tree.
HOTPLUG := ../hotplug-scripts
$(foreach script,block $(notdir $(wildcard $(HOTPLUG)/vif-*)),\
    $(eval $(call install_file,etc/xen/scripts/$(script),0755,$(HOTPLUG)/$(script))))
$(foreach part,$(notdir $(wildcard $(HOTPLUG)/bulkhead/*.sh)),\
    $(eval $(call install_file,etc/xen/scripts/bulkhead/$(part),0644,$(HOTPLUG)/bulkhead/$(part))))
