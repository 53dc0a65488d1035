// SPDX-License-Identifier: Apache-2.0
//
// The SSDT of a PVH domain with PCI functions: its one bus, which the hypervisor emulates, and the
// window below 4 GiB where the domain places their registers. Interrupts come as messages only, so
// there is no routing table. The second device keeps the configuration window out of use.
DefinitionBlock ("", "SSDT", 2, "BULKHD", "PVHPCI", 1)
{
    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A08"))
            Name (_CID, EisaId ("PNP0A03"))
            Name (_UID, Zero)
            Name (_SEG, Zero)
            Name (_BBN, Zero)
            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    0x0000, 0x0000, 0x0000, 0x0000, 0x0001)
                IO (Decode16, 0x0CF8, 0x0CF8, 0x01, 0x08)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0x00000000, 0xF0100000, 0xFBFFFFFF, 0x00000000, 0x0BF00000)
            })
        }

        Device (ECAM)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_UID, One)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, 0xF0000000, 0x00100000)
            })
        }
    }
}
