// SPDX-License-Identifier: Apache-2.0
// Where this build comes from, for xl info and hypfs. The date is that of the source's last commit,
// so that the same source gives the same bits. core/build_info.c is made by build_info.mk.
#ifndef BULKHEAD_BUILD_INFO_H
#define BULKHEAD_BUILD_INFO_H

extern const char build_info_extra_version[]; // "-bulkhead…"
extern const char build_info_compiler[], build_info_by[], build_info_domain[], build_info_date[];
extern const char build_info_revision[]; // of the source tree
extern const char build_info_config[];   // the compiler's options

// The public ABI's version, which is what guests and tools are told.
#define XEN_ABI_MAJOR 4u
#define XEN_ABI_MINOR 20u

#endif
