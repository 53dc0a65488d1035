// SPDX-License-Identifier: Apache-2.0
//
// The machine's own settings for what a domain's configuration leaves open.
#include <toolstack/domain_config.h>
#include <toolstack/memory.h>

#include <unistd.h>

static void set_default(char **field, const char *value)
{
    if (!*field && value)
        *field = memory_copy_text(value);
}

struct error *domain_config_apply_defaults(struct domain_config *config, const char *path)
{
    struct config settings = {0};
    const char *bridge = NULL;
    const char *script = NULL;
    const char *backend = NULL;

    if (access(path, F_OK) != 0)
        return NULL;
    struct error *error = config_add_file(&settings, path);

    if (!error)
        error = config_string(&settings, "vif.default.bridge", &bridge);
    if (!error)
        error = config_string(&settings, "vif.default.script", &script);
    if (!error)
        error = config_string(&settings, "vif.default.backend", &backend);
    for (size_t i = 0; i < config->nic_count && !error; i++) {
        set_default(&config->nics[i].bridge, bridge);
        set_default(&config->nics[i].script, script);
        set_default(&config->nics[i].backend, backend);
    }
    config_free(&settings);
    return error;
}
