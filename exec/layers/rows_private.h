/* The rows of the list in layers.c. */
#pragma once
#include "exec/layers/layers.h"

extern const PwLayerRunner pw__layer_linear;
extern const PwLayerRunner pw__layer_relu;
extern const PwLayerRunner pw__layer_gelu;
extern const PwLayerRunner pw__layer_layernorm;
extern const PwLayerRunner pw__layer_rmsnorm;
extern const PwLayerRunner pw__layer_dropout;
extern const PwLayerRunner pw__layer_embedding;
extern const PwLayerRunner pw__layer_positional_embedding;
extern const PwLayerRunner pw__layer_attention;
extern const PwLayerRunner pw__layer_add;
extern const PwLayerRunner pw__layer_concat;
extern const PwLayerRunner pw__layer_cross_entropy;
extern const PwLayerRunner pw__layer_mse;

/* The gradient of input I is the output's. */
gboolean pw__layer_hand_on (PwLayerCall *call, int i, GError **error);
