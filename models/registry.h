/* The catalogue of models: a name with sizes, or a list of layers in the plan. */
#pragma once
#include "models/graph.h"

typedef struct {
  const char *name, *summary;
  const PwJsonKey *keys; /* the sizes; "name" is the registry's own */
  gsize n_keys;
  gsize options_size; /* a plain struct that owns nothing */
  void (*defaults) (void *options);
  PwGraph *(*build) (const void *options, GError **error);
} PwModel;

const PwModel *const *pw_model_list (void); /* NULL-terminated */
const PwModel *pw_model_get (const char *name);

/* VALUE is the plan's "model": "gpt", {"name": "gpt", "blocks": 8, ...},
 * {"layers": [{"type": "linear", "in": 10, "out": 10, "repeat": 3}, ...], "loss": "mse"}, or the
 * path of a file with such an object ("net.json", beside the plan). PLACE is that of VALUE. */
PwGraph *pw_model_read (PwJsonPlace place, json_t *value, GError **error);

/* models/sequential.c: a chain, or whatever the entries' "name" and "from" make of it
 * (docs/definitions.md, Models); each entry of the list (and each repeat) is a unit. `loss` is
 * "mse" (default) or "cross_entropy", an end unit added after the list unless the list ends with a
 * loss of its own; "none" leaves the output to the caller. "input": [dims] of one sample may be left
 * out where the first layer's sizes say it (linear, a norm). "name" is the graph's. */
PwGraph *pw_sequential_read (PwJsonPlace place, json_t *value, GError **error);
