/* Layer types: what a layer computes on, what it owns, what it costs and what it must remember.
 * One row per type in layer_types.c; exec/layers/ has the code that runs it. Figures are per sample
 * and exact: FLOPs count a multiply-add as two, and only matrix products are counted, as
 * Megatron-LM (2104.04473, section 3.4) and PaLM (2204.02311, appendix B) do; what the rest costs
 * follows from the bytes it moves. Causal attention counts the whole T x T square, as they do. */
#pragma once
#include "io/json.h"
#include "models/shape.h"

#define PW_MODEL_ERROR (pw_model_error_quark ())
GQuark pw_model_error_quark (void);
typedef enum {
  PW_MODEL_ERROR_SHAPE,     /* a layer does not fit its input; a type's message ends with what comes
                               in, and the builder adds " from" and whose outputs these are */
  PW_MODEL_ERROR_ATTRIBUTE, /* a size that cannot be: zero, too large to count, or heads that do not
                               divide */
  PW_MODEL_ERROR_UNKNOWN    /* no such layer type or model */
} PwModelError;

#define PW_LAYER_INPUTS_MAX 2
#define PW_LAYER_PARAMETERS_MAX 4
#define PW_LAYER_STASHES_MAX 4

/* A larger shape, FLOP or byte count is refused. */
#define PW_LAYER_FIGURE_MAX (INT64_C (1) << 60)

/* The union of all types' attributes; each type reads the ones its `keys` name. */
typedef struct {
  int64_t in, out;    /* linear: features */
  int64_t features;   /* layernorm, rmsnorm, embedding, positional_embedding: last dimension */
  int64_t heads;      /* attention */
  int64_t vocabulary; /* embedding; cross_entropy: classes, 0: the input's last dimension */
  int64_t positions;  /* positional_embedding: longest sequence */
  gboolean bias;      /* linear; default TRUE */
  gboolean causal;    /* attention; default TRUE */
  double epsilon;     /* layernorm, rmsnorm; default 1e-5 */
  double probability; /* dropout: that an element is dropped; below 1 */
  double init_scale;  /* standard deviation of initial weights; 0: the type's own default */
  PwDtype element;    /* of what a type makes from integers; else the input says it. The graph's to
                         set */
  gconstpointer data; /* a user type's own; must outlive the graph */
} PwLayerAttributes;
void pw_layer_attributes_init (PwLayerAttributes *attributes);

typedef enum { PW_INIT_ZEROS, PW_INIT_ONES, PW_INIT_NORMAL, PW_INIT_UNIFORM } PwInit;
typedef struct {
  const char *name; /* "weight", "bias": appended to the layer's name it keys initial values */
  PwShape shape;    /* the whole tensor, no sample dimension */
  PwInit init;
  double scale;                  /* NORMAL: standard deviation; UNIFORM: in [-scale, scale) */
  gboolean from_weight_gradient; /* its gradient is made by W; else by I (biases, norms) */
} PwLayerParameter;

typedef struct {
  const char *name; /* "rstd", "lse" */
  PwShape shape;
} PwLayerStash;

/* All that the type says of one layer. Filled by `describe`, zeroed before. */
typedef struct {
  PwShape output;
  int n_parameters;
  PwLayerParameter parameters[PW_LAYER_PARAMETERS_MAX];
  /* FLOPs and bytes moved per sample, of forward, input gradient, weight gradient. The bytes are
   * those of tensors that have a sample dimension: inputs, outputs, stashes and their gradients,
   * each read or written once. Parameters move once per micro-batch whatever its size: F and I read
   * them, W reads and writes their gradients (pw_layer_info_parameters). */
  int64_t flops_forward, flops_input, flops_weight;
  /* Of these, work that I does over instead of keeping its result: takes time, is no model FLOP. */
  int64_t flops_again;
  int64_t bytes_forward, bytes_input, bytes_weight;
  /* What the gradients read besides the output's gradient. Bit i: input i. */
  unsigned input_reads_inputs; /* by I */
  gboolean input_reads_output;
  unsigned weight_reads_inputs; /* by W */
  gboolean weight_reads_output_gradient;
  /* Tensors the forward leaves for I, owned by the layer, freed after I. */
  int n_stashes;
  PwLayerStash stashes[PW_LAYER_STASHES_MAX];
  /* I makes the gradients of all inputs that are layers' outputs. FALSE only for types that take
   * integers (embedding); the builder also clears it, and I's FLOPs, of a layer that reads nothing
   * but the sample. */
  gboolean has_input_gradient;
  gboolean is_loss; /* output is one scalar per sample, added to the step's loss; reads targets */
  PwShape target;   /* losses: of the targets of one sample */
} PwLayerInfo;
/* Elements of all its parameters, shared ones too. */
int64_t pw_layer_info_parameters (const PwLayerInfo *info);

typedef struct PwLayerType PwLayerType;
struct PwLayerType {
  const char *name;    /* "linear": in JSON, in messages */
  const char *summary; /* one line for `model show` */
  const PwJsonKey *keys;
  gsize n_keys; /* rows into PwLayerAttributes; "type", "name", "from", "repeat" are the list's own */
  int n_inputs;
  PwDtype input_dtype; /* I32: takes integers; else any float type */
  gboolean (*describe) (const PwLayerType *type, const PwLayerAttributes *attributes,
                        const PwShape *inputs, PwLayerInfo *info, GError **error);
  gconstpointer data; /* a user type's own */
};

/* By name; NULL if there is none. */
const PwLayerType *pw_layer_type_get (const char *name);
/* All, NULL-terminated, built-in ones first. */
const PwLayerType *const *pw_layer_type_list (void);
/* Adds a user's type; TYPE must stay valid. FALSE if the name is taken or the table is full. Lists
 * got before stay valid and grow. */
gboolean pw_layer_type_register (const PwLayerType *type);
