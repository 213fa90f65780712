/* Shared by the files of models/ alone. */
#pragma once
#include "models/registry.h"

/* A * B, at most PW_LAYER_FIGURE_MAX, for non-negative numbers: figures too large to count stay at
 * a value that the builder refuses, instead of wrapping. */
int64_t pw__multiply (int64_t a, int64_t b);

/* Fills the layer's info from INPUTS, the shapes of what it reads, and needs_gradient. */
gboolean pw__layer_describe (PwLayer *layer, const PwShape *inputs, GError **error);

/* layer_types_join.c */
typedef gboolean PwDescribeFunc (const PwLayerType *type, const PwLayerAttributes *attributes,
                                 const PwShape *inputs, PwLayerInfo *info, GError **error);
PwDescribeFunc pw__describe_add, pw__describe_concat;

extern const PwLayerType pw__layer_types[];
extern const gsize pw__n_layer_types;

extern const PwModel pw__model_mlp;
extern const PwModel pw__model_gpt;

/* 'there is no WHAT "NAME", did you mean ...?', or what there is: NAMES is NULL-terminated. */
GError *pw__unknown_error (const char *what, const char *name, const char *const *names);
/* The same for a layer type. */
GError *pw__unknown_type_error (const char *name);

/* Forward and both gradients, without what is done again. */
int64_t pw__layer_flops (const PwLayerInfo *info);
