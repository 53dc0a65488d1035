// SPDX-License-Identifier: Apache-2.0
//
// The DSDT of a PVH domain. Its devices are found through xenstore and its processors in the MADT, so
// there is nothing to describe but the root.
DefinitionBlock ("", "DSDT", 6, "BULKHD", "PVH", 1)
{
    Scope (\_SB)
    {
    }
}
