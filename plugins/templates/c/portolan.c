// The canonical ABI of components for portolan.h. Not to be changed.
#include "portolan.h"

#define PLUGIN(name) __attribute__((export_name("portolan:routing/plugin@0.2.0#" name)))
#define HOST(name) __attribute__((import_module("portolan:routing/host@0.2.0"), import_name(name)))
#define PAGE 65536u

HOST("log") void import_log(uint32_t level, const char *ptr, size_t len);
HOST("count") void import_count(uint32_t counter, uint32_t delta);
HOST("header") void import_header(const char *ptr, size_t len, void *result);

// What the host hands over lies behind the data, and is gone when the call ends: nothing is ever freed.
extern unsigned char __heap_base;
static uintptr_t top;

static void end_call(void) { top = (uintptr_t)&__heap_base; }

__attribute__((export_name("cabi_realloc")))
void *cabi_realloc(void *old, size_t old_len, size_t alignment, size_t len) {
    if (!top) end_call();
    uintptr_t start = (top + alignment - 1) & -alignment, end = start + len;
    size_t have = __builtin_wasm_memory_size(0) * PAGE;
    if (end < start) __builtin_trap();
    if (end > have && __builtin_wasm_memory_grow(0, (end - have + PAGE - 1) / PAGE) == (size_t)-1) __builtin_trap();
    top = end;
    if (old) __builtin_memcpy((void *)start, old, old_len < len ? old_len : len);
    return (void *)start;
}

PLUGIN("configure") void *export_configure(const char *ptr, size_t len) {
    static struct { bool failed; union { setup_t setup; text_t error; } u; } result;
    result.u.setup = (setup_t){0};
    const char *error = configure((text_t){ ptr, len }, &result.u.setup);
    result.failed = error != NULL;
    if (error) {
        size_t length = 0;
        while (error[length]) length++;
        result.u.error = (text_t){ error, length };
    }
    end_call();
    return &result;
}

PLUGIN("update") void export_update(uint64_t generation, const char *service, size_t length, const region_t *regions, size_t count) {
    snapshot_t snapshot = { generation, { service, length }, regions, count };
    update(&snapshot);
    end_call();
}

PLUGIN("route") void *export_route(uint32_t method, const char *fields, size_t fields_len, const uint8_t *eligible,
                                   size_t eligible_len, uint32_t has_estimates, const estimate_t *estimates, size_t estimates_len,
                                   uint32_t country, uint32_t has_location, float latitude, float longitude, uint32_t asn,
                                   uint64_t net, uint32_t minute, uint32_t roll) {
    static decision_t decision;
    (void)estimates_len;
    request_t request = { method, { fields, fields_len }, { eligible, eligible_len }, has_estimates ? estimates : NULL, country,
                          { has_location, latitude, longitude }, asn, net, minute, roll };
    decision = (decision_t){0};
    route(&request, &decision);
    end_call();
    return &decision;
}

void host_log(uint32_t level, text_t line) { import_log(level, line.ptr, line.len); }
void host_count(uint32_t counter, uint32_t delta) { import_count(counter, delta); }

bool host_header(text_t name, text_t *value) {
    struct { bool some; text_t value; } result;
    import_header(name.ptr, name.len, &result);
    if (result.some) *value = result.value;
    return result.some;
}

bool equal(text_t a, text_t b) {
    if (a.len != b.len) return false;
    for (size_t i = 0; i < a.len; i++) if (a.ptr[i] != b.ptr[i]) return false;
    return true;
}

text_t field(const request_t *request, unsigned position) {
    const char *at = request->fields.ptr, *end = at + request->fields.len;
    for (; position > 0 && at < end; at++) if (*at == '\n') position--;
    text_t value = { at, 0 };
    if (position == 0) while (at + value.len < end && at[value.len] != '\n') value.len++;
    return value;
}

text_t json_text(text_t object, const char *key) {
    text_t last = {0};
    bool is_value = false;
    const char *end = object.ptr + object.len;
    for (const char *at = object.ptr; at < end; at++) {
        if (*at == ':') is_value = true;
        if (*at == ',' || *at == '{') is_value = false;
        if (*at != '"') continue;
        text_t word = { at + 1, 0 };
        while (word.ptr + word.len < end && word.ptr[word.len] != '"' && word.ptr[word.len] != '\\') word.len++;
        at = word.ptr + word.len;
        if (at >= end || *at == '\\') return (text_t){0}; // not a flat object of plain texts
        size_t length = 0;
        while (key[length]) length++;
        if (is_value && last.ptr && equal(last, (text_t){ key, length })) return word;
        last = is_value ? (text_t){0} : word;
    }
    return (text_t){0};
}
