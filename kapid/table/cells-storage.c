/* Cells of volumes, claims, storage classes and what CSI drivers write. */
#include "kapid/table/cells.h"

#include "lib/buf.h"
#include "lib/object.h"
#include "lib/volumes.h"

static json_t *modes_cell(const json_t *modes) {
        static const struct {
                const char *mode, *shown;
        } all[] = {{"ReadWriteOnce", "RWO"}, {"ReadOnlyMany", "ROX"}, {"ReadWriteMany", "RWX"},
                        {"ReadWriteOncePod", "RWOP"}};
        _cleanup_buf_ struct buf b = {0};
        const json_t *mode;
        size_t i;

        for (size_t m = 0; m < ELEMENTS(all); m++)
                json_array_foreach (modes, i, mode)
                        if (streq(strempty(json_string_value(mode)), all[m].mode)) {
                                buf_printf(&b, "%s%s", b.size > 0 ? "," : "", all[m].shown);
                                break;
                        }
        return json_string(b.size > 0 ? b.data : "");
}

json_t *cells_volume_modes(const json_t *volume, uint64_t now_us) {
        return modes_cell(json_at(volume, "spec.accessModes"));
}

/* Those of the volume, once the claim has one. */
json_t *cells_claim_modes(const json_t *claim, uint64_t now_us) {
        bool bound = *json_str_or(claim, "spec.volumeName", "");

        return modes_cell(bound ? json_at(claim, "status.accessModes") : NULL);
}

json_t *cells_claim_capacity(const json_t *claim, uint64_t now_us) {
        bool bound = *json_str_or(claim, "spec.volumeName", "");

        return json_string(bound ? json_str_or(claim, "status.capacity.storage", "") : "");
}

json_t *cells_volume_claim(const json_t *volume, uint64_t now_us) {
        const json_t *claim = json_at(volume, "spec.claimRef");

        if (!claim)
                return json_string("");
        return json_sprintf("%s/%s", json_str_or(claim, "namespace", ""),
                        json_str_or(claim, "name", ""));
}

json_t *cells_volume_phase(const json_t *volume_or_claim, uint64_t now_us) {
        return json_string(object_is_deleting(volume_or_claim)
                                           ? "Terminating"
                                           : json_str_or(volume_or_claim, "status.phase", ""));
}

json_t *cells_storage_class(const json_t *volume_or_claim, uint64_t now_us) {
        return json_string(volume_class(volume_or_claim));
}

json_t *cells_storage_class_name(const json_t *storage_class, uint64_t now_us) {
        const char *is_default = object_annotation(
                        storage_class, "storageclass.kubernetes.io/is-default-class");

        return json_sprintf("%s%s", object_name(storage_class),
                        streq(strempty(is_default), "true") ? " (default)" : "");
}

/* The texts of a list, or those at a member of its items, joined by commas. */
static json_t *joined(const json_t *list, const char *member, const char *none) {
        _cleanup_buf_ struct buf b = {0};
        const json_t *item;
        size_t i;

        json_array_foreach (list, i, item)
                buf_printf(&b, "%s%s", b.size > 0 ? "," : "",
                                member ? json_str_or(item, member, "")
                                       : strempty(json_string_value(item)));
        if (b.failed)
                return NULL;
        return json_string(b.size > 0 ? b.data : none);
}

json_t *cells_csidriver_modes(const json_t *driver, uint64_t now_us) {
        return joined(json_at(driver, "spec.volumeLifecycleModes"), NULL, "<none>");
}

/* Audiences; one that is empty is the API's own. */
json_t *cells_csidriver_tokens(const json_t *driver, uint64_t now_us) {
        const json_t *requests = json_at(driver, "spec.tokenRequests");

        return joined(requests, "audience", requests ? "" : "<unset>");
}

json_t *cells_csinode_drivers(const json_t *node, uint64_t now_us) {
        return json_integer((json_int_t)json_array_size(json_at(node, "spec.drivers")));
}
