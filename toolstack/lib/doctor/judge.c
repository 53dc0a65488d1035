// SPDX-License-Identifier: Apache-2.0
//
// From facts about the machine to findings: what it can do for domains, in words, and what to do
// about what it cannot. Nothing here asks anybody anything.
#include <toolstack/doctor.h>
#include <toolstack/memory.h>

#include <stdlib.h>

void findings_add(struct findings *findings, enum finding_level level, enum finding_topic topic,
                  char *text, const char *advice)
{
    findings->list = memory_resized(findings->list, findings->count + 1, sizeof(*findings->list));
    findings->list[findings->count++] = (struct finding){
        .level = level, .topic = topic, .text = text, .advice = memory_copy_optional(advice)};
}

enum finding_level findings_worst(const struct findings *findings)
{
    enum finding_level worst = FINDING_GOOD;

    for (size_t i = 0; i < findings->count; i++)
        if (findings->list[i].level > worst)
            worst = findings->list[i].level;
    return worst;
}

void findings_free(struct findings *findings)
{
    for (size_t i = 0; i < findings->count; i++) {
        free(findings->list[i].text);
        free(findings->list[i].advice);
    }
    free(findings->list);
    *findings = (struct findings){0};
}

const char *finding_topic_word(enum finding_topic topic)
{
    static const char *const words[] = {
#define X(name, word) [TOPIC_##name] = word,
        FINDING_TOPICS(X)
#undef X
    };

    return words[topic];
}

// What each answer to a question about the machine means.
struct question {
    enum finding_topic topic;
    enum finding_level level; // of no and of not knowing
    const char *yes;
    const char *no;
    const char *unknown;
    const char *advice;
};

static void judge_answer(const struct question *question, enum answer answer,
                         struct findings *findings)
{
    static const enum finding_level unknown_level = FINDING_NOTE;
    const char *text = answer == YES  ? question->yes
                       : answer == NO ? question->no
                                      : question->unknown;
    enum finding_level level = answer == YES  ? FINDING_GOOD
                               : answer == NO ? question->level
                                              : unknown_level;

    findings_add(findings, level, question->topic, memory_copy_text(text),
                 answer == YES ? NULL : question->advice);
}

static void judge_answers(const struct machine_facts *machine, struct findings *findings)
{
    static const struct question virtualization = {
        TOPIC_VIRTUALIZATION,
        FINDING_PROBLEM,
        "the processor's virtualization is in use: PVH and HVM domains can run",
        "the processor's virtualization is off: neither PVH nor HVM domains can run",
        "the hypervisor does not say whether the processor can virtualize",
        "Switch it on in the firmware's set-up: SVM on AMD, VT-x on Intel.",
    };
    static const struct question nested_paging = {
        TOPIC_NESTED_PAGING,
        FINDING_PROBLEM,
        "nested paging is in use",
        "there is no nested paging, which PVH domains need",
        "the hypervisor does not say whether there is nested paging",
        "Switch NPT or EPT on in the firmware's set-up, or use a processor that has it.",
    };
    struct question iommu = {
        TOPIC_IOMMU,
        FINDING_PROBLEM,
        "an IOMMU is in use: devices reach only the memory of their domains",
        "no IOMMU is in use: no device can be given to a domain",
        "the hypervisor does not say whether there is an IOMMU",
        "Switch it on in the firmware's set-up: AMD-Vi or IOMMU on AMD, VT-d on Intel; xl dmesg "
        "may say what the hypervisor misses.",
    };
    static const struct question remapping = {
        TOPIC_INTERRUPT_REMAPPING,
        FINDING_PROBLEM,
        "interrupts of devices are remapped: a device cannot forge those of others",
        "interrupts of devices are not remapped: a device that a hostile domain drives can forge "
        "interrupts",
        "the hypervisor's log no longer says whether interrupts are remapped",
        "Look for \"interrupt remapping\" in xl dmesg right after the machine has started.",
    };
    static const struct question virtual_pci = {
        TOPIC_VIRTUAL_PCI,
        FINDING_NOTE,
        "the hypervisor shows PCI functions to PVH domains",
        "this hypervisor does not show PCI functions to PVH domains",
        "the hypervisor does not say what it is",
        "Bulkhead does; here, only PV and HVM domains can be given devices.",
    };

    if (machine->iommu_switched_off)
        iommu.advice = "An option of the hypervisor switches it off: take iommu= off its command "
                       "line and start the machine again.";
    judge_answer(&virtualization, machine->virtualization, findings);
    judge_answer(&nested_paging, machine->nested_paging, findings);
    judge_answer(&iommu, machine->iommu, findings);
    judge_answer(&remapping, machine->interrupt_remapping, findings);
    judge_answer(&virtual_pci, machine->virtual_pci, findings);
}

// A control domain is best without devices: what they break stays small then.
static void judge_control_domain(const struct doctor_facts *facts, struct findings *findings)
{
    struct text list = {0};

    for (size_t i = 0; i < facts->device_count; i++) {
        const struct device_facts *device = &facts->devices[i];
        char address[PCI_TEXT_SIZE];

        if (!device->driver || device->able.is_bridge || device->owner != OWNER_NONE)
            continue;
        pci_format(&device->function, address);
        text_add(&list, "%s%s (%s)", list.length ? ", " : "", address, device->driver);
    }
    if (!list.length)
        findings_add(findings, FINDING_GOOD, TOPIC_CONTROL_DOMAIN,
                     memory_copy_text("this domain drives no device"), NULL);
    else
        findings_add(findings, FINDING_NOTE, TOPIC_CONTROL_DOMAIN,
                     memory_format("this domain drives devices itself: %s", list.bytes),
                     "Give them to driver domains; xl doctor DEVICE says what each needs.");
    text_free(&list);
}

static void judge_reserved(const struct doctor_facts *facts, struct findings *findings)
{
    if (!facts->reserved_count)
        findings_add(findings, FINDING_GOOD, TOPIC_RESERVED_MEMORY,
                     memory_copy_text("firmware has reserved no memory for devices"), NULL);
    for (size_t i = 0; i < facts->reserved_count; i++) {
        const struct reserved_region *region = &facts->reserved[i];
        struct text users = {0};

        for (size_t j = 0; j < facts->device_count; j++) {
            char address[PCI_TEXT_SIZE];

            if (!region->devices[j])
                continue;
            pci_format(&facts->devices[j].function, address);
            text_add(&users, "%s%s", users.length ? ", " : "", address);
        }
        findings_add(findings, FINDING_NOTE, TOPIC_RESERVED_MEMORY,
                     memory_format("firmware has reserved memory %lx to %lx for %s", region->first,
                                   region->last, users.length ? users.bytes : "unknown devices"),
                     "Keep these devices in this domain, or see what the firmware's set-up says "
                     "of them.");
        text_free(&users);
    }
}

void doctor_judge_machine(const struct doctor_facts *facts, struct findings *findings)
{
    judge_answers(&facts->machine, findings);
    judge_control_domain(facts, findings);
    judge_reserved(facts, findings);
}
