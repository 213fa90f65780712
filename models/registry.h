/* The catalogue of models: a name with sizes, or a list of layers in the plan. */
#pragma once
#include "models/graph.h"

typedef struct {
  const char *name, *summary;
  const PwJsonKey *keys; /* the sizes; "name" is the registry's own */
  gsize n_keys;
  gsize options_size;
  void (*defaults) (void *options);
  PwGraph *(*build) (const void *options, GError **error);
} PwModel;

const PwModel *const *pw_model_list (void); /* NULL-terminated */
const PwModel *pw_model_get (const char *name);

/* VALUE is the plan's "model": "gpt", {"name": "gpt", "blocks": 8, ...}, or
 * {"layers": [{"type": "linear", "in": 10, "out": 10, "repeat": 3}, ...], "loss": "mse"}. */
PwGraph *pw_model_read (PwJsonPlace place, json_t *value, GError **error);

/* models/sequential.c: a chain; each entry of the list (and each repeat) is a unit. `loss` is
 * "mse" (default) or "cross_entropy", an end unit added after the list. */
PwGraph *pw_sequential_read (PwJsonPlace place, json_t *value, GError **error);
