/* Between JSON and sd-bus: every property type of unit-props.c in D-Bus form. */
#include "nodeagent/runtime/units-message.h"

#include "lib/buf.h"
#include "nodeagent/plan/unit-props.h"

static int append_strv(sd_bus_message *m, const json_t *list) {
        const json_t *v;
        size_t i;
        int r = sd_bus_message_open_container(m, 'a', "s");

        if (r < 0)
                return r;
        json_array_foreach (list, i, v) {
                r = sd_bus_message_append(m, "s", strempty(json_string_value(v)));
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(m);
}

/* A word that systemd passes on unchanged: it would replace $NAME by a variable. */
static char *literal_word(const char *word) {
        _cleanup_buf_ struct buf out = {0};

        for (; *word; word++) {
                if (*word == '$')
                        buf_append_char(&out, '$');
                buf_append_char(&out, *word);
        }
        return out.failed ? NULL : out.data ? buf_take(&out) : strdup("");
}

static int append_words(sd_bus_message *m, const json_t *words) {
        const json_t *v;
        size_t i;
        int r = sd_bus_message_open_container(m, 'a', "s");

        if (r < 0)
                return r;
        json_array_foreach (words, i, v) {
                _cleanup_free_ char *word = literal_word(strempty(json_string_value(v)));

                if (!word)
                        return -ENOMEM;
                r = sd_bus_message_append(m, "s", word);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(m);
}

static int append_command(sd_bus_message *m, const json_t *words) {
        int r = sd_bus_message_open_container(m, 'r', "sasb");

        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "s", strempty(json_string_value(json_array_get(words, 0))));
        if (r < 0)
                return r;
        r = append_words(m, words);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "b", 0);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

/* The plain form, not ExecStartEx with its flags: systemd 252 writes that name into the unit's
 * file, does not know it there, and after a daemon-reload has a service without a command. */
static int append_exec(sd_bus_message *m, const json_t *commands) {
        const json_t *words;
        size_t i;
        int r = sd_bus_message_open_container(m, 'a', "(sasb)");

        if (r < 0)
                return r;
        json_array_foreach (commands, i, words) {
                r = append_command(m, words);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(m);
}

static int append_pair(sd_bus_message *m, enum prop_type type, const json_t *v) {
        const char *a = json_string_value(json_array_get(v, 0)),
                   *b = json_string_value(json_array_get(v, 1));

        switch (type) {
        case PROP_FIELDS:
                return sd_bus_message_append_array(
                                m, 'y', strempty(json_string_value(v)), json_string_length(v));
        case PROP_ENVFILES:
                return sd_bus_message_append(m, "(sb)", strempty(json_string_value(v)), 0);
        case PROP_BINDS:
                return sd_bus_message_append(m, "(ssbt)", strempty(a), strempty(b),
                                streq_ptr(json_string_value(json_array_get(v, 2)), "optional"),
                                UINT64_C(16384) /* MS_REC */);
        default:
                return sd_bus_message_append(m, "(ss)", strempty(a), strempty(b));
        }
}

static int append_pairs(sd_bus_message *m, enum prop_type type, const json_t *list) {
        const json_t *v;
        size_t i;
        const char *item = type == PROP_FIELDS     ? "ay"
                           : type == PROP_ENVFILES ? "(sb)"
                           : type == PROP_BINDS    ? "(ssbt)"
                                                   : "(ss)";
        int r = sd_bus_message_open_container(m, 'a', item);

        if (r < 0)
                return r;
        json_array_foreach (list, i, v) {
                r = append_pair(m, type, v);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(m);
}

static int append_filter(sd_bus_message *m, const json_t *value) {
        int r = sd_bus_message_open_container(m, 'r', "bas");

        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "b", json_bool_or(value, "allow", true));
        if (r < 0)
                return r;
        r = append_strv(m, json_at(value, "names"));
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_value(sd_bus_message *m, enum prop_type type, const json_t *v) {
        json_int_t n = json_integer_value(v);

        switch (type) {
        case PROP_STRING:
        case PROP_OWN:
                return sd_bus_message_append(m, "s", strempty(json_string_value(v)));
        case PROP_BOOL:
                return sd_bus_message_append(m, "b", json_is_true(v));
        case PROP_U64:
        case PROP_BYTES:
        case PROP_USEC:
        case PROP_PERCENT:
                return sd_bus_message_append(m, "t", n < 0 ? UINT64_MAX : (uint64_t)n);
        case PROP_CAPS:
                return sd_bus_message_append(m, "t", capability_mask(v));
        case PROP_NAMESPACES:
                return sd_bus_message_append(m, "t", namespaces_mask(v));
        case PROP_U32:
        case PROP_MODE:
                return sd_bus_message_append(m, "u", (uint32_t)n);
        case PROP_I32:
                return sd_bus_message_append(m, "i", (int32_t)n);
        case PROP_STRV:
                return append_strv(m, v);
        case PROP_EXEC:
                return append_exec(m, v);
        case PROP_FILTER:
                return append_filter(m, v);
        default:
                return append_pairs(m, type, v);
        }
}

static int append_property(sd_bus_message *m, const struct prop_row *row, const json_t *value) {
        int r = sd_bus_message_open_container(m, 'r', "sv");
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "s", row->type == PROP_EXEC ? row->file_name : row->name);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(m, 'v', prop_signature(row->type));
        if (r < 0)
                return r;
        r = append_value(m, row->type, value);
        if (r < 0)
                return r;
        r = sd_bus_message_close_container(m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

/* A list of exceptions from a filter is the same property again, with the opposite meaning. */
static int append_exceptions(sd_bus_message *m, const struct prop_row *row, const json_t *filter) {
        _cleanup_json_ json_t *inverse =
                        json_pack("{s:b, s:O}", "allow", !json_bool_or(filter, "allow", true),
                                        "names", json_object_get(filter, "except"));

        return inverse ? append_property(m, row, inverse) : -ENOMEM;
}

int units_append_property(sd_bus_message *m, const char *name, const json_t *value) {
        const struct prop_row *row = prop_find(name);
        int r;

        if (!row)
                return -EINVAL;
        r = append_property(m, row, value);
        if (r < 0 || row->type != PROP_FILTER || !json_object_get(value, "except"))
                return r;
        return append_exceptions(m, row, value);
}

int units_append_properties(sd_bus_message *m, const json_t *properties) {
        const char *key;
        json_t *value;
        int r = sd_bus_message_open_container(m, 'a', "(sv)");

        if (r < 0)
                return r;
        json_object_each (properties, key, value) {
                r = units_append_property(m, key, value);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(m);
}

static int read_string(sd_bus_message *m, char *to, size_t n) {
        const char *s;
        int r = sd_bus_message_read(m, "v", "s", &s);

        if (r >= 0)
                snprintf(to, n, "%s", s);
        return r;
}

static int read_invocation(sd_bus_message *m, char *to) {
        const uint8_t *id;
        size_t n;
        int r = sd_bus_message_enter_container(m, 'v', "ay");

        if (r < 0)
                return r;
        r = sd_bus_message_read_array(m, 'y', (const void **)&id, &n);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n && i < 16; i++)
                snprintf(to + 2 * i, 3, "%02x", id[i]);
        return sd_bus_message_exit_container(m);
}

static int read_one(sd_bus_message *m, const char *key, struct unit_state *s) {
        const struct {
                const char *key;
                char *to;
                size_t size;
        } texts[] = {{"ActiveState", s->active, sizeof(s->active)},
                        {"SubState", s->sub, sizeof(s->sub)},
                        {"Result", s->result, sizeof(s->result)},
                        {"Slice", s->slice, sizeof(s->slice)},
                        {"Description", s->description, sizeof(s->description)}};
        const struct {
                const char *key, *signature;
                void *to;
        } numbers[] = {{"MainPID", "u", &s->main_pid}, {"NRestarts", "u", &s->restarts},
                        {"ExecMainPID", "u", &s->exec_pid}, {"ExecMainCode", "i", &s->exec_code},
                        {"ExecMainStatus", "i", &s->exec_status},
                        {"ExecMainStartTimestamp", "t", &s->start_us},
                        {"ExecMainExitTimestamp", "t", &s->exit_us}};

        for (size_t i = 0; i < ELEMENTS(texts); i++)
                if (streq(texts[i].key, key))
                        return read_string(m, texts[i].to, texts[i].size);
        for (size_t i = 0; i < ELEMENTS(numbers); i++)
                if (streq(numbers[i].key, key))
                        return sd_bus_message_read(m, "v", numbers[i].signature, numbers[i].to);
        if (streq(key, "InvocationID"))
                return read_invocation(m, s->invocation);
        return sd_bus_message_skip(m, "v");
}

int units_read_properties(sd_bus_message *m, struct unit_state *state) {
        int r = sd_bus_message_enter_container(m, 'a', "{sv}");

        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                const char *key;

                r = sd_bus_message_read(m, "s", &key);
                if (r < 0)
                        return r;
                r = read_one(m, key, state);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}
