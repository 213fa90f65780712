/* A list of layers: what one entry of it says, and which layers the names of others mean. */
#pragma once
#include "models/models_private.h"

/* What every entry may say, then its type's own attributes. */
typedef struct {
  const PwLayerType *type;
  char *type_name, *name;
  GPtrArray *from;       /* of texts: what it reads; NULL: not said */
  gboolean from_is_list; /* or one text */
  int64_t repeat;
  PwLayerAttributes attributes;
} PwListEntry;

/* sequential_entry.c. On failure ENTRY is cleared. */
gboolean pw__list_entry_read (PwJsonPlace place, json_t *value, PwListEntry *entry, GError **error);
void pw__list_entry_clear (PwListEntry *entry);
/* NAME is no layer type's. */
gboolean pw__list_fail_type (PwJsonPlace place, const char *name, GError **error);

/* sequential_names.c. Every layer of a list has a name: that of its entry, or type and number; the
 * layers of a repeated entry are counted from 0.
 *
 *   { "type": "linear", .., "name": "enc", "repeat": 2 },  { "type": "relu" },  ..
 *   enc0                                  enc1             relu1                        */
typedef struct PwListNames PwListNames;
PwListNames *pw__list_names_new (const PwListEntry *entries, gsize n);
void pw__list_names_free (PwListNames *names);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwListNames, pw__list_names_free)
/* By the layer's number. */
const char *pw__list_names_get (const PwListNames *names, int layer);
/* Of the entry that makes LAYER. */
gsize pw__list_names_entry (const PwListNames *names, int layer);
/* INPUTS of LAYER, the first of ENTRY: layers before it, or PW_GRAPH_INPUT. */
gboolean pw__list_names_resolve (PwJsonPlace place, const PwListNames *names,
                                 const PwListEntry *entry, int layer, int *inputs, GError **error);
